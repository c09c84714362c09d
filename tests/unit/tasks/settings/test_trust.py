"""Whose .env is read, and what Prefect reads and imports in the working directory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.core.errors import InputError
from tasks.settings.settings import load_settings
from tasks.settings.trust import settle_prefect
from tests.support import forkserver
from tests.support.other_user import NEEDS_ROOT, UID

THIRD = UID - 1
PREFECTS = "from prefect.settings import get_current_settings as now; print(now().logging.config_path)"


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    file = tmp_path / ".env"
    file.write_text("HEARTH_MODEL=theirs\n")
    file.chmod(0o644)
    return file


def refused() -> str:
    with pytest.raises(InputError) as caught:
        load_settings()
    told = str(caught.value)
    assert told.startswith(f"{Path('.env').absolute()} is not read: ")
    assert "set what it sets in the environment" in told
    return told


@pytest.mark.parametrize("mode", [0o644, 0o600, 0o400, 0o755])
def test_a_file_that_only_its_owner_may_write_is_read(env_file: Path, mode: int):
    env_file.chmod(mode)
    assert load_settings().model == "theirs"


@pytest.mark.parametrize("mode", [0o666, 0o602, 0o646, 0o777])
def test_a_file_that_everybody_may_write_is_refused(env_file: Path, mode: int):
    env_file.chmod(mode)
    assert "every user may write it" in refused()


def test_a_directory_in_which_everybody_may_replace_it_is_refused(env_file: Path):
    env_file.parent.chmod(0o777)
    assert "every user may replace it" in refused()


def test_a_file_in_a_sticky_directory_is_read(env_file: Path):
    env_file.parent.chmod(0o1777)
    assert load_settings().model == "theirs"


@NEEDS_ROOT
def test_a_file_that_a_group_of_others_may_write_is_refused(env_file: Path):
    env_file.chmod(0o664)
    os.chown(env_file, 0, UID)
    assert "a group of several users may write it" in refused()


@NEEDS_ROOT
def test_a_file_that_a_private_group_may_write_is_read(env_file: Path):
    """As most systems have it: each user has a group of the same name."""
    env_file.chmod(0o664)
    os.chown(env_file, 0, 0)
    assert load_settings().model == "theirs"


@NEEDS_ROOT
def test_a_file_that_a_sharing_group_may_write_is_read(env_file: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HEARTH_SHARED", "group")
    env_file.chmod(0o664)
    os.chown(env_file, 0, UID)
    assert load_settings().model == "theirs"


@NEEDS_ROOT
def test_a_file_cannot_allow_its_own_group(env_file: Path):
    env_file.write_text("HEARTH_SHARED=group\n")
    env_file.chmod(0o664)
    os.chown(env_file, 0, UID)
    assert "a group of several users may write it" in refused()


@NEEDS_ROOT
def test_a_file_of_a_stranger_is_refused(env_file: Path):
    os.chown(env_file, UID, UID)
    assert f"it belongs to nobody (uid {UID})" in refused()


@NEEDS_ROOT
def test_a_file_of_the_directorys_owner_is_read(env_file: Path):
    os.chown(env_file, UID, UID)
    os.chown(env_file.parent, UID, UID)
    assert load_settings().model == "theirs"


@NEEDS_ROOT
def test_a_link_to_the_file_of_another_user_is_refused(env_file: Path, tmp_path: Path):
    target = env_file.rename(tmp_path / "target")
    os.chown(target, UID, UID)
    env_file.symlink_to(target)
    assert "it belongs to nobody" in refused()


@NEEDS_ROOT
def test_a_link_of_another_user_is_refused(env_file: Path, tmp_path: Path):
    env_file.symlink_to(env_file.rename(tmp_path / "target"))
    os.lchown(env_file, UID, UID)
    assert "the link belongs to nobody" in refused()


def test_a_link_into_a_directory_where_everybody_may_replace_it_is_refused(env_file: Path, tmp_path: Path):
    (tmp_path / "open").mkdir()
    env_file.symlink_to(env_file.rename(tmp_path / "open" / "target"))
    (tmp_path / "open").chmod(0o777)
    assert f"{tmp_path / 'open'} is writable for all" in refused()


def test_a_link_to_ones_own_file_is_read(env_file: Path, tmp_path: Path):
    env_file.symlink_to(env_file.rename(tmp_path / "target"))
    assert load_settings().model == "theirs"


def test_a_directory_cannot_vouch_for_itself(env_file: Path):
    env_file.write_text("HEARTH_TRUST_DIRECTORY=1\n")
    with pytest.raises(InputError, match="vouches for itself"):
        load_settings()


def prefects(directory: Path, *trusting: str) -> str:
    """The file that configures Prefect's logging, as Prefect understands it in a process that begins there."""
    module = "tests.unit.tasks.settings.prefect_logging"
    return forkserver.run(module, *trusting, cwd=directory, env=dict(os.environ)).strip()


FILES = {
    "prefect.toml": '[logging]\nconfig_path = "theirs.yml"\n',
    "pyproject.toml": '[tool.prefect.logging]\nconfig_path = "theirs.yml"\n',
    ".env": "PREFECT_LOGGING_SETTINGS_PATH=theirs.yml\n",
}


@pytest.mark.parametrize("name", FILES)
def test_prefect_reads_no_file_that_could_run_code(tmp_path: Path, name: str):
    (tmp_path / name).write_text(FILES[name])
    assert prefects(tmp_path).endswith("/logging.yml")


@pytest.mark.parametrize("name", FILES)
def test_prefect_reads_these_files_if_the_environment_allows_it(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / name).write_text(FILES[name])
    monkeypatch.setenv("HEARTH_TRUST_DIRECTORY", "1")
    assert prefects(tmp_path) == "theirs.yml"


@pytest.mark.parametrize("name", ["prefect.toml", "pyproject.toml", ".env"])
def test_a_profile_named_by_these_files_is_ignored(tmp_path: Path, name: str):
    (tmp_path / "profiles.toml").write_text(
        'active = "x"\n[profiles.x]\nPREFECT_LOGGING_SETTINGS_PATH = "theirs.yml"\n'
    )
    table = "[tool.prefect]\n" if name == "pyproject.toml" else ""
    key = "PREFECT_PROFILES_PATH=profiles.toml" if name == ".env" else 'profiles_path = "profiles.toml"'
    (tmp_path / name).write_text(f"{table}{key}\n")
    assert prefects(tmp_path, "trusting") == "theirs.yml" or name == ".env"
    assert prefects(tmp_path).endswith("/logging.yml")


def test_child_processes_import_nothing_from_the_working_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """An empty entry of PYTHONPATH means the working directory, and `python -m` begins with it."""
    for name in ("PYTHONSAFEPATH", "PREFECT_PROFILES_PATH", "PREFECT_RUNNER_AUTO_INSTALL_DEPENDENCIES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONPATH", ":/somewhere:")
    settle_prefect()
    settle_prefect()
    guard, other = os.environ["PYTHONPATH"].split(os.pathsep)
    assert (Path(guard, "sitecustomize.py").is_file(), other) == (True, "/somewhere")
    (tmp_path / "theirs.py").write_text("")
    program = [sys.executable, "-m", "theirs"]
    assert subprocess.run(program, cwd=tmp_path, capture_output=True, check=False).returncode == 1


def test_prefects_programs_read_no_file_of_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("PYTHONSAFEPATH", "PREFECT_PROFILES_PATH", "PREFECT_RUNNER_AUTO_INSTALL_DEPENDENCIES", "PYTHONPATH"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    settle_prefect()
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    command = [sys.executable, "-m", "prefect", "config", "view", "--hide-sources"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    program = [sys.executable, "-c", f"'prefect';{PREFECTS}"]
    done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.strip().endswith("/logging.yml"), done.stderr


def test_the_environments_own_sitecustomize_runs_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("PYTHONSAFEPATH", "PREFECT_PROFILES_PATH", "PREFECT_RUNNER_AUTO_INSTALL_DEPENDENCIES"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "sitecustomize.py").write_text("print('own')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "own"))
    settle_prefect()
    assert subprocess.run([sys.executable, "-c", ""], capture_output=True, text=True, check=True).stdout == "own\n"
