"""Files of Hearth are for their owner alone, whatever the umask, unless HEARTH_SHARED says otherwise."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.core.private import (
    check_access,
    create_file,
    make_directory,
    open_private,
    restrict,
    restrict_directory,
    write_text,
)
from tests.support.other_user import NEEDS_ROOT, UID, as_other, public  # noqa: F401 - a fixture


@pytest.fixture(params=[0o000, 0o022, 0o077], autouse=True)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_directories_are_made_for_their_owner_alone_those_above_too(tmp_path: Path):
    make_directory(tmp_path / "a" / "b")
    assert (mode(tmp_path / "a"), mode(tmp_path / "a" / "b")) == (0o700, 0o700)


@pytest.mark.parametrize("how", ["w", "wb", "x"])
def test_files_are_made_for_their_owner_alone(tmp_path: Path, how: str):
    create_file(tmp_path / "file", how).close()
    assert mode(tmp_path / "file") == 0o600


def test_a_group_shares_what_is_made_whatever_the_umask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HEARTH_SHARED", "group")
    make_directory(tmp_path / "a" / "b")
    write_text(tmp_path / "a" / "file", "text")
    assert mode(tmp_path / "a") == mode(tmp_path / "a" / "b") == 0o2770
    assert mode(tmp_path / "a" / "file") == 0o660


def test_all_leaves_it_to_the_umask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, umask: int):
    monkeypatch.setenv("HEARTH_SHARED", "all")
    make_directory(tmp_path / "a")
    write_text(tmp_path / "file", "text")
    assert (mode(tmp_path / "a"), mode(tmp_path / "file")) == (0o777 & ~umask, 0o666 & ~umask)


def test_a_value_that_is_not_understood_shares_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HEARTH_SHARED", "everybody")
    make_directory(tmp_path / "a")
    assert mode(tmp_path / "a") == 0o700


def test_what_the_version_before_left_open_is_closed_when_it_is_used(tmp_path: Path):
    directory, file = tmp_path / "slots", tmp_path / "slots" / "lock"
    directory.mkdir()
    file.touch()
    directory.chmod(0o755)
    file.chmod(0o644)
    make_directory(directory)
    os.close(open_private(file, os.O_RDWR))
    assert (mode(directory), mode(file)) == (0o700, 0o600)


def test_a_directory_that_holds_more_than_hearths_is_left_as_it_is_and_told(tmp_path: Path):
    tmp_path.chmod(0o755)
    (tmp_path / "somebody's").touch()
    note = restrict_directory(tmp_path, {"servers"}.__contains__)
    assert note is not None
    assert f"{tmp_path} (mode 755)" in note
    assert mode(tmp_path) == 0o755


def test_a_directory_that_holds_hearths_alone_is_closed(tmp_path: Path):
    tmp_path.chmod(0o755)
    (tmp_path / "servers").mkdir()
    assert restrict_directory(tmp_path, {"servers"}.__contains__) is None
    assert mode(tmp_path) == 0o700


def test_a_directory_for_everybody_such_as_tmp_is_never_closed(tmp_path: Path):
    tmp_path.chmod(0o1777)
    restrict(tmp_path)
    assert mode(tmp_path) == 0o1777


def test_a_directory_that_is_not_there_yet_is_no_trouble(tmp_path: Path):
    check_access(tmp_path / "new" / "home")
    assert restrict_directory(tmp_path / "new", bool) is None


@NEEDS_ROOT
def test_another_users_directory_is_named_with_its_owner_and_what_to_do(public: Path):  # noqa: F811 - a fixture
    make_directory(public / "home" / "slots")
    imports = "from pathlib import Path; from tasks.core.private import check_access; import tasks.core.owners, pwd"
    for place in (public / "home", public / "home" / "slots"):
        done = as_other(imports, "check_access(Path(sys.argv[1]))", place)
        told = done.stderr.splitlines()[-1]
        assert told.startswith("tasks.core.errors.StorageError: "), done.stderr
        assert f"{public / 'home'} belongs to root (uid 0), and " in told
        assert f"(uid {UID}) may not use it" in told
        assert "HEARTH_HOME" in told
