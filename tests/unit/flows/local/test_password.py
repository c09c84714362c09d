"""The password of Hearth's own Prefect servers is random, and only the user can have read it."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from flows.local.password import password, password_file, renew_password
from tasks.core.errors import ServerError


def test_the_password_is_random_and_readable_only_by_the_user(tmp_path: Path):
    home, other = tmp_path / "home", tmp_path / "other"
    made = password(home)
    assert password(home) == made == password_file(home).read_text().strip()
    assert password(other) != made
    user, _, secret = made.partition(":")
    assert user == "hearth"
    assert len(secret) >= 40
    assert password_file(home).stat().st_mode & 0o777 == 0o600
    assert list(home.iterdir()) == [password_file(home)]


def test_concurrent_callers_get_the_same_password(tmp_path: Path):
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: password(tmp_path), range(32)))) == 1


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602])
def test_a_password_that_others_could_access_is_replaced(tmp_path: Path, mode: int):
    known = password(tmp_path)
    password_file(tmp_path).chmod(mode)
    assert password(tmp_path) != known
    assert password_file(tmp_path).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", ["", "\n", "no colon"])
def test_a_file_without_a_password_is_replaced(tmp_path: Path, content: str):
    password_file(tmp_path).touch(0o600)
    password_file(tmp_path).write_text(content)
    assert password(tmp_path).startswith("hearth:")


def test_a_link_to_another_file_is_not_followed(tmp_path: Path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("known:to all\n")
    password_file(tmp_path).symlink_to(elsewhere)
    with pytest.raises(ServerError, match="Set HEARTH_HOME"):
        password(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_password_file_of_another_user_is_refused(tmp_path: Path):
    password(tmp_path)
    os.chown(password_file(tmp_path), 65534, 65534)
    with pytest.raises(ServerError, match="belongs to another user"):
        password(tmp_path)


def test_the_password_can_be_renewed(tmp_path: Path):
    known = password(tmp_path)
    renew_password(tmp_path)
    assert password(tmp_path) != known
