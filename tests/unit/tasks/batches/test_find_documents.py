"""Where a batch finds its documents, and what it says of those that it passes over."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tasks.batches.batch import find_documents
from tasks.core.errors import InputError

LATIN = os.fsdecode(b"caf\xe9.pdf")


def made(folder: Path, *names: str) -> Path:
    """The folder, with these files in it."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%PDF")
    return folder


def names(*sources: Path, told: list[str] | None = None) -> list[str]:
    """The names of the documents that are found."""
    passed_over = (lambda _: None) if told is None else told.append
    return [Path(str(each.path)).name for each in find_documents([str(source) for source in sources], passed_over)]


def test_a_folder_is_searched_in_the_order_of_its_paths(tmp_path: Path):
    assert names(made(tmp_path, "b.pdf", "a/z.PDF", "a.pdf", "c.txt", "a/deep/y.pdf")) == [
        "y.pdf",
        "z.PDF",
        "a.pdf",
        "b.pdf",
    ]


def test_pictures_are_documents(tmp_path: Path):
    pictures = ("a.JPG", "b.jpeg", "c.png", "d.tif", "e.tiff", "f.webp")
    assert names(made(tmp_path, *pictures, "g.docx", "h.gif", ".png")) == list(pictures)


def test_a_named_file_of_another_kind_is_left_to_its_opening_which_tells_what_it_is(tmp_path: Path):
    folder = made(tmp_path, "a.docx", "b.png")
    assert names(folder / "a.docx", folder / "b.png") == ["a.docx", "b.png"]


@pytest.mark.parametrize("name", ["._x.pdf", "~$x.pdf", "deep/._y.PDF"])
def test_what_programs_keep_beside_a_document_is_skipped(tmp_path: Path, name: str):
    told: list[str] = []
    assert names(made(tmp_path, "x.pdf", name), told=told) == ["x.pdf"]
    assert not told


def test_that_is_said_where_somebody_has_named_it(tmp_path: Path):
    told: list[str] = []
    assert not names(made(tmp_path, "~$x.pdf") / "~$x.pdf", told=told)
    assert len(told) == 1


def test_an_empty_source_is_not_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(made(tmp_path, "a.pdf"))
    with pytest.raises(InputError, match="source of the batch is empty"):
        list(find_documents([""]))


def test_a_link_to_a_folder_is_not_followed_and_told(tmp_path: Path):
    """Not even one that leads round in a circle."""
    inbox = made(tmp_path / "inbox", "a.pdf", "sub/b.pdf")
    (inbox / "circle").symlink_to(inbox)
    (inbox / "sub" / "out").symlink_to(made(tmp_path / "other", "c.pdf"))
    told: list[str] = []
    assert names(inbox, told=told) == ["a.pdf", "b.pdf"]
    assert [f"{inbox}/circle" in told[0], f"{inbox}/sub/out" in told[1], len(told)] == [True, True, 2]


def test_one_that_is_named_is_searched(tmp_path: Path):
    link = tmp_path / "link"
    link.symlink_to(made(tmp_path / "inbox", "a.pdf"))
    assert names(link) == ["a.pdf"]


def test_a_link_to_a_pdf_is_read(tmp_path: Path):
    inbox = made(tmp_path / "inbox")
    inbox.mkdir()
    (inbox / "b.pdf").symlink_to(made(tmp_path / "other", "c.pdf") / "c.pdf")
    assert names(inbox) == ["b.pdf"]


def test_what_is_no_file_is_told(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.pdf")
    (tmp_path / "dead.pdf").symlink_to("/missing.pdf")
    told: list[str] = []
    assert not names(tmp_path, told=told)
    assert ["dead.pdf" in told[0], "pipe.pdf" in told[1], len(told)] == [True, True, 2]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_cannot_be_read_is_told(tmp_path: Path):
    made(tmp_path, "a.pdf", "locked/b.pdf")
    (tmp_path / "locked").chmod(0)
    told: list[str] = []
    assert names(tmp_path, told=told) == ["a.pdf"]
    assert "locked" in told[0]


def test_a_name_that_is_not_utf8_is_found(tmp_path: Path):
    assert names(made(tmp_path, LATIN, "café.pdf")) == ["café.pdf", LATIN]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_list_is_read_in_any_encoding(tmp_path: Path, encoding: str, end: str):
    made(tmp_path, "café.pdf", "sub/x.pdf")
    (tmp_path / "list.txt").write_bytes(end.join(["# die Größe", "café.pdf", "", " sub "]).encode(encoding))
    assert names(tmp_path / "list.txt") == ["café.pdf", "x.pdf"]


def test_a_lines_own_bytes_come_before_the_characters_that_they_may_be(tmp_path: Path):
    """As `ls` writes them: the list is no text in any encoding."""
    made(tmp_path, LATIN, "a.pdf")
    (tmp_path / "list.txt").write_bytes(b"\r\n".join(sorted(os.fsencode(path.name) for path in tmp_path.iterdir())))
    assert names(tmp_path / "list.txt") == ["a.pdf", LATIN]


def test_a_line_may_be_any_bytes(tmp_path: Path):
    (tmp_path / "list.txt").write_bytes(b"a\x00b\xff.pdf\n" + b"x" * 5000 + b"\xff.pdf\n")
    assert len(names(tmp_path / "list.txt")) == 2


def test_a_list_that_names_what_is_no_document_is_refused(tmp_path: Path):
    (tmp_path / "list.txt").write_text("missing\n")
    with pytest.raises(InputError, match="missing is no folder"):
        names(tmp_path / "list.txt")
