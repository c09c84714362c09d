"""Files that a run leaves are its owner's alone, whatever the umask and the earlier version's permissions."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import pdfs
from tests.support.commands import Hearth
from tests.support.ollama.scripted import ScriptedOllama
from tests.support.other_user import NEEDS_ROOT, UID

pytestmark = pytest.mark.long("each test runs the command: 2 to 12 s")

OPEN = ("sh", "-c", 'umask 000; exec "$@"', "sh")
"""As whoever starts it with the widest umask."""


@pytest.fixture
def hearth(hearth: Hearth, server: ScriptedOllama, tmp_path: Path) -> Hearth:
    home = {"HEARTH_HOME": str(tmp_path / "home"), "HEARTH_URL": server.url, "HEARTH_BACKEND": "url"}
    return Hearth(tmp_path, {**hearth.environment, **home}, prefix=OPEN)


def opened(*places: Path) -> Iterator[str]:
    """Those of the files and directories that others than their owner may use."""
    for place in places:
        for path in (place, *place.rglob("*")):
            if (mode := stat.S_IMODE(path.stat().st_mode)) & 0o077:
                yield f"{path} {mode:o}"


def test_a_run_leaves_nothing_that_others_can_read(hearth: Hearth, tmp_path: Path):
    outcome = hearth.read(pdfs.written(tmp_path / "a.pdf", "one", "two"))
    assert (outcome.code, outcome.notes) == (0, "")
    assert sorted(path.name for path in (tmp_path / "home").iterdir()) >= ["copies", "metrics.json"]
    assert list(opened(tmp_path / "home", tmp_path / "results")) == []


def test_a_batch_leaves_nothing_that_others_can_read(hearth: Hearth, tmp_path: Path):
    pdfs.written(tmp_path / "a.pdf", "one")
    pdfs.written(tmp_path / "b.pdf", "two")
    outcome = hearth("batch", tmp_path / "a.pdf", tmp_path / "b.pdf")
    assert outcome.code == 0, outcome.err
    assert list(opened(tmp_path / "home", tmp_path / "results")) == []


def test_permissions_of_files_of_an_earlier_version_are_restricted(hearth: Hearth, tmp_path: Path):
    paper = pdfs.written(tmp_path / "a.pdf", "one")
    assert hearth.read(paper, HEARTH_SHARED="all").code == 0
    assert len(list(opened(tmp_path / "home", tmp_path / "results"))) > 5
    outcome = hearth.read(paper)
    assert (outcome.code, outcome.notes) == (0, "")
    for place in ("home", "results"):
        assert stat.S_IMODE((tmp_path / place).stat().st_mode) == 0o700


def test_a_results_directory_with_other_files_is_reported_and_left_unchanged(hearth: Hearth, tmp_path: Path):
    (tmp_path / "results").mkdir()
    (tmp_path / "results").chmod(0o755)
    (tmp_path / "results" / "holiday.jpg").touch()
    outcome = hearth.read(pdfs.written(tmp_path / "a.pdf", "one"))
    assert outcome.code == 0
    assert f"Other users may list {tmp_path / 'results'} (mode 755)" in outcome.err
    assert (tmp_path / "results").stat().st_mode & 0o777 == 0o755
    assert list(opened(outcome.directory)) == []


def test_a_group_can_share_all_files(hearth: Hearth, tmp_path: Path):
    outcome = hearth.read(pdfs.written(tmp_path / "a.pdf", "one"), HEARTH_SHARED="group")
    assert (outcome.code, outcome.notes) == (0, "")
    made = [tmp_path / "home", tmp_path / "results", *(tmp_path / "results").rglob("*")]
    assert {stat.S_IMODE(path.stat().st_mode) & 0o777 for path in made if path.is_dir()} == {0o770}
    assert {stat.S_IMODE(path.stat().st_mode) for path in made if path.is_file()} == {0o660}


@NEEDS_ROOT
@pytest.mark.parametrize("command", ["status", "read"])
def test_the_home_directory_of_another_user_is_named(hearth: Hearth, tmp_path: Path, command: str):
    """The test runs as a user who can read Python's files, but has no rights of root."""
    hearth.prefix = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--")
    (tmp_path / "home").mkdir(mode=0o700)
    os.chown(tmp_path / "home", UID, UID)
    arguments = [pdfs.written(tmp_path / "a.pdf", "one")] if command == "read" else []
    outcome = hearth(command, *arguments)
    assert (outcome.code, outcome.out) == (1, "")
    assert f"{tmp_path / 'home'} belongs to nobody (uid {UID}), and root (uid 0) may not use it" in outcome.err


def test_every_setting_is_shown_with_its_source_in_80_columns(hearth: Hearth, tmp_path: Path):
    (tmp_path / ".env").write_text("HEARTH_SLOTS=3\nHEARTH_URL_TOKEN=s3cret-of-the-server\n")
    outcome = hearth("config", "--backend", "url", COLUMNS="80", HEARTH_READ__NUM_CTX="4096")
    assert outcome.code == 0, outcome.err
    lines = outcome.out.splitlines()
    assert max(map(len, lines)) <= 80
    rows = {line.split()[0]: line.split()[1:] for line in lines if line.startswith(("HEARTH_", "API_"))}
    assert rows["HEARTH_SLOTS"] == ["3", "unset", ".env"]
    assert rows["HEARTH_READ__NUM_CTX"] == ["4096", "tokens", "8192", "environment"]
    assert rows["HEARTH_BACKEND"] == ["url", "auto", "option"]
    assert rows["HEARTH_WARM__LOAD_SECONDS"] == ["600", "seconds", "600", "default"]
    assert rows["HEARTH_URL_TOKEN"] == ["(secret)", "unset", ".env"]
    assert "s3cret" not in outcome.out + outcome.err


def test_json_contains_the_description_of_each_setting(hearth: Hearth):
    settings = {each["name"]: each for each in json.loads(hearth("config", "--json").out)}
    assert settings["HEARTH_READ__NUM_CTX"]["unit"] == "tokens"
    assert settings["HEARTH_READ__NUM_CTX"]["source"] == "default"
    assert all(each["description"] for each in settings.values())
    assert {"HEARTH_TESSDATA", "API_TOKEN", "HEARTH_SHARED"} <= set(settings)


@pytest.mark.parametrize("command", ["read", "batch", "status", "up", "config"])
def test_an_env_file_that_everybody_may_write_is_refused(hearth: Hearth, tmp_path: Path, command: str):
    (tmp_path / ".env").write_text("HEARTH_URL=http://theirs.example\n")
    (tmp_path / ".env").chmod(0o666)
    (tmp_path / "prefect.yaml").touch()
    arguments = [pdfs.written(tmp_path / "a.pdf", "one")] if command in {"read", "batch"} else []
    outcome = hearth(command, *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith(f"Error: {tmp_path / '.env'} is not read: every user may write it.")
    assert outcome.err.count("\n") == 1


def test_a_deployments_file_that_everybody_may_write_is_refused(hearth: Hearth, tmp_path: Path):
    (tmp_path / "prefect.yaml").write_text("deployments: []\n")
    (tmp_path / "prefect.yaml").chmod(0o666)
    outcome = hearth("up", "--prefect-file", tmp_path / "prefect.yaml")
    assert (outcome.code, outcome.out) == (2, "")
    assert f"{tmp_path / 'prefect.yaml'} is not read: every user may write it" in outcome.err


def test_settings_of_an_env_file_are_printed_before_a_run_without_secrets(
    hearth: Hearth, tmp_path: Path, server: ScriptedOllama
):
    del hearth.environment["HEARTH_URL"]
    (tmp_path / ".env").write_text(f"LLAMA_API_URL={server.url}\nHEARTH_URL_TOKEN=s3cret-of-the-server\n")
    (tmp_path / ".env").chmod(0o600)
    outcome = hearth.read(pdfs.written(tmp_path / "a.pdf", "one"))
    assert (outcome.code, outcome.json["read"]) == (0, 1)
    assert outcome.notes == f"Note: {tmp_path / '.env'} sets LLAMA_API_URL={server.url}, HEARTH_URL_TOKEN=(secret).\n"
