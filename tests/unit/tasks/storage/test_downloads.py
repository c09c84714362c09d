"""Private copies of documents."""

from __future__ import annotations

import gc
import hashlib
import os
from pathlib import Path

import pytest

from tasks.core.errors import IncompleteError, StorageError
from tasks.storage import downloads
from tasks.storage.downloads import local_copy


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "a.pdf"
    path.write_bytes(b"%PDF-1.7 before")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "copies"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_change_of_the_document_does_not_reach_the_copy(document: Path, folder: Path):
    file = local_copy(document, folder, 1)
    document.write_bytes(b"after")
    assert file.path.read_bytes() == b"%PDF-1.7 before"
    assert file.changed(sha256(b"%PDF-1.7 before"))


def test_the_copy_is_removed_with_its_last_user(document: Path, folder: Path):
    one, other = local_copy(document, folder, 1), local_copy(document, folder, 1)
    assert one.path == other.path
    path = one.path
    one.close()
    gc.collect()
    assert path.exists()
    other.close()
    gc.collect()
    assert not path.exists()


def test_copies_of_killed_runs_are_removed(document: Path, folder: Path):
    folder.mkdir()
    (folder / "left.pdf").write_bytes(b"left")
    file = local_copy(document, folder, 1)
    assert list(folder.iterdir()) == [file.path]


def test_nobody_else_can_read_the_copies(document: Path, folder: Path):
    local_copy(document, folder, 1)
    assert folder.stat().st_mode & 0o077 == 0


def test_a_document_that_changes_while_it_is_copied_is_incomplete(
    document: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    create_file = downloads.create_file

    def write_and_create(path: Path, mode: str):
        document.write_bytes(b"%PDF-1.7 longer than before")
        return create_file(path, mode)

    monkeypatch.setattr(downloads, "create_file", write_and_create)
    with pytest.raises(IncompleteError, match=r"a\.pdf is still being written\. Run again when it is complete\."):
        local_copy(document, folder, 1)


def test_a_touched_or_removed_document_has_not_changed(document: Path, folder: Path):
    file = local_copy(document, folder, 1)
    os.utime(document, (1, 1))
    assert not file.changed(sha256(b"%PDF-1.7 before"))
    document.unlink()
    assert not file.changed(sha256(b"%PDF-1.7 before"))


def test_an_error_names_the_remedy_if_the_copy_cannot_be_made(
    document: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    folder.write_text("no folder")
    with pytest.raises(StorageError, match="Free space there, or set HEARTH_HOME to another directory"):
        local_copy(document, folder, 1)


@pytest.mark.parametrize("kind", ["missing", "folder", "fifo", "large"])
def test_an_unreadable_document_is_not_copied(tmp_path: Path, folder: Path, kind: str):
    path = tmp_path / "a.pdf"
    {"missing": lambda: None, "folder": path.mkdir, "fifo": lambda: os.mkfifo(path)}.get(
        kind, lambda: path.write_bytes(b"." * 1_000_001)
    )()
    assert local_copy(path, folder, 1).path == path
    assert not folder.exists()
