"""A document is read as a copy of the run's own."""

from __future__ import annotations

import gc
import hashlib
import os
from pathlib import Path

import pytest

from tasks.core.errors import IncompleteError, StorageError
from tasks.storage import copies as module
from tasks.storage.files import local_file


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


def test_what_is_written_to_the_document_does_not_reach_the_copy(document: Path, folder: Path):
    file = local_file(document, folder, 1)
    document.write_bytes(b"after")
    assert file.path.read_bytes() == b"%PDF-1.7 before"
    assert file.changed(sha256(b"%PDF-1.7 before"))


def test_the_copy_goes_with_its_last_user(document: Path, folder: Path):
    one, other = local_file(document, folder, 1), local_file(document, folder, 1)
    assert one.path == other.path
    path = one.path
    one.close()
    gc.collect()
    assert path.exists()
    other.close()
    gc.collect()
    assert not path.exists()


def test_the_copies_of_runs_that_were_killed_are_cleared(document: Path, folder: Path):
    folder.mkdir()
    (folder / "left.pdf").write_bytes(b"left")
    file = local_file(document, folder, 1)
    assert list(folder.iterdir()) == [file.path]


def test_nobody_else_can_read_the_copies(document: Path, folder: Path):
    local_file(document, folder, 1)
    assert folder.stat().st_mode & 0o077 == 0


def test_a_document_that_is_written_to_while_it_is_copied_is_not_whole(
    document: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    chunks = module._chunks

    def written_to(path: Path, file):
        yield from chunks(path, file)
        path.write_bytes(b"%PDF-1.7 longer than before")

    monkeypatch.setattr(module, "_chunks", written_to)
    with pytest.raises(IncompleteError, match=r"a\.pdf is being written to just now\. Run again when it is whole\."):
        local_file(document, folder, 1)


def test_a_touch_is_no_change_and_nor_is_a_document_that_went_away(document: Path, folder: Path):
    file = local_file(document, folder, 1)
    os.utime(document, (1, 1))
    assert not file.changed(sha256(b"%PDF-1.7 before"))
    document.unlink()
    assert not file.changed(sha256(b"%PDF-1.7 before"))


def test_without_room_for_the_copy_the_remedy_is_told(document: Path, folder: Path, monkeypatch: pytest.MonkeyPatch):
    folder.write_text("no folder")
    with pytest.raises(StorageError, match="Make room, or set HEARTH_HOME to another place"):
        local_file(document, folder, 1)


@pytest.mark.parametrize("kind", ["missing", "folder", "fifo", "large"])
def test_what_cannot_be_read_is_left_to_whoever_opens_it(tmp_path: Path, folder: Path, kind: str):
    path = tmp_path / "a.pdf"
    {"missing": lambda: None, "folder": path.mkdir, "fifo": lambda: os.mkfifo(path)}.get(
        kind, lambda: path.write_bytes(b"." * 1_000_001)
    )()
    assert local_file(path, folder, 1).path == path
    assert not folder.exists()
