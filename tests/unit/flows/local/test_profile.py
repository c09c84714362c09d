"""The Prefect profile `hearth` contains the server and its password, and the user's own profiles are not changed."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.settings import PREFECT_HOME, PREFECT_PROFILES_PATH, temporary_settings

from flows.local.profile import keep_profile
from tasks.core.errors import InputError

API, SECRET = "http://127.0.0.1:4200/api", "hearth:hush"
OURS = {"PREFECT_API_URL": API, "PREFECT_API_AUTH_STRING": SECRET}


@pytest.fixture
def profiles(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "profiles.toml"
    with temporary_settings({PREFECT_HOME: tmp_path, PREFECT_PROFILES_PATH: path}):
        yield path


def test_a_missing_profile_is_created_readable_only_by_this_user(profiles: Path):
    keep_profile(API, SECRET)
    assert tomllib.loads(profiles.read_text()) == {"profiles": {"hearth": OURS}}
    assert profiles.stat().st_mode & 0o777 == 0o600


def test_other_profiles_and_the_active_one_are_kept(profiles: Path):
    profiles.write_text(
        'active = "cloud"\n[profiles.cloud]\nPREFECT_API_URL = "https://api.prefect.cloud/x"\nPREFECT_API_KEY = "k"\n'
    )
    profiles.chmod(0o644)
    before = tomllib.loads(profiles.read_text())
    keep_profile(API, SECRET)
    after = tomllib.loads(profiles.read_text())
    assert after.pop("profiles") == {**before.pop("profiles"), "hearth": OURS}
    assert after == before
    assert profiles.stat().st_mode & 0o777 == 0o600


def test_the_address_is_updated_a_foreign_key_removed_and_the_rest_kept(profiles: Path):
    profiles.write_text(
        '[profiles.hearth]\nPREFECT_API_URL = "http://127.0.0.1:1/api"\nPREFECT_API_KEY = "k"\n'
        'PREFECT_LOGGING_LEVEL = "DEBUG"\n'
    )
    keep_profile(API, SECRET)
    kept = {**OURS, "PREFECT_LOGGING_LEVEL": "DEBUG"}
    assert tomllib.loads(profiles.read_text())["profiles"]["hearth"] == kept


def test_an_unchanged_profile_is_not_written(profiles: Path):
    keep_profile(API, SECRET)
    written = profiles.stat().st_mtime_ns
    keep_profile(API, SECRET)
    assert profiles.stat().st_mtime_ns == written


def test_a_damaged_file_of_profiles_is_named(profiles: Path):
    profiles.write_text("[profiles")
    with pytest.raises(InputError, match=r"profiles\.toml"):
        keep_profile(API, SECRET)


def test_a_missing_profile_is_created_only_on_request(profiles: Path):
    keep_profile(API, SECRET, make=False)
    assert not profiles.exists()
    keep_profile("http://127.0.0.1:1/api", SECRET)
    keep_profile(API, SECRET, make=False)
    assert tomllib.loads(profiles.read_text()) == {"profiles": {"hearth": OURS}}
