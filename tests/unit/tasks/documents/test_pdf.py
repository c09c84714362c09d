"""Accepted and refused files."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pymupdf
import pytest

from tasks.core.errors import DocumentError
from tasks.core.flags import FlagName
from tasks.documents.pdf import inspect_document, open_document
from tasks.settings.reading import LimitSettings
from tests.support import pdfs

pytestmark = pytest.mark.usefixtures("one_sandbox")

LIMITS = LimitSettings()


@contextmanager
def without_privileges() -> Iterator[None]:
    """Run as a user bound by file permissions; root becomes nobody for a while."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def missing(path: Path) -> Path:
    return path


def empty(path: Path) -> Path:
    path.touch()
    return path


def text(path: Path) -> Path:
    path.write_text("Dear Sir or Madam, this is not a PDF.")
    return path


def directory(path: Path) -> Path:
    path.mkdir()
    return path


def pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


def loop(path: Path) -> Path:
    path.symlink_to(path)
    return path


def too_long(path: Path) -> Path:
    return path.with_name("x" * 300 + ".pdf")


def not_a_path(path: Path) -> Path:
    return path.with_name("nul\0.pdf")


@pytest.mark.parametrize(
    ("make", "what", "remedy"),
    [
        (missing, "does not exist", "Check the path"),
        (directory, "is a directory", "Name one document"),
        (pipe, "is not a regular file", "Name one document"),
        (loop, "cannot be read", "Check the path"),
        (too_long, "cannot be read", "Check the path"),
        (not_a_path, "cannot be read", "Check the path"),
        (empty, "is empty", "again"),
        (text, "is not a PDF", "Name a document"),
        (pdfs.cut_off, "is truncated", "again"),
        (pdfs.garbled, "is damaged", "again"),
        (pdfs.without_pages, "has no pages", "again"),
    ],
)
def test_an_unusable_file_is_refused_by_name_and_with_a_remedy(tmp_path, make, what, remedy):
    path = make(tmp_path / "paper.pdf")
    with pytest.raises(DocumentError) as caught:
        open_document(path, LIMITS)
    told = str(caught.value)
    assert told.startswith(f"{path} {what}")
    assert remedy in told
    assert caught.value.exit_code == 2


def test_a_file_that_may_not_be_read_is_refused(tmp_path):
    path = pdfs.written(tmp_path / "private.pdf", "Hello")
    path.chmod(0)
    with without_privileges(), pytest.raises(DocumentError, match=r"private\.pdf cannot be read: .*permissions"):
        open_document(path, LIMITS)


def test_a_usable_pdf_is_counted_and_identified_by_its_bytes(tmp_path):
    path = pdfs.written(tmp_path / "paper.pdf", "one", "two", "three")
    document = open_document(path, LIMITS)
    assert (document.pages, document.size, document.name) == (3, path.stat().st_size, "paper")
    assert document.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_relative_path_becomes_absolute(tmp_path):
    pdfs.written(tmp_path / "paper.pdf", "one")
    assert open_document(Path("paper.pdf"), LIMITS).path == tmp_path / "paper.pdf"


def test_damage_that_every_viewer_repairs_is_accepted(tmp_path):
    assert open_document(pdfs.misdirected(tmp_path / "mended.pdf"), LIMITS).pages == 3


def test_bytes_around_a_pdf_are_accepted(tmp_path):
    """Mail gateways put lines before and after it; the format allows 1024 bytes."""
    path = pdfs.written(tmp_path / "mailed.pdf", "one", "two")
    path.write_bytes(b"Content-Type: application/pdf\r\n\r\n" + path.read_bytes() + b"\0" * 500)
    assert open_document(path, LIMITS).pages == 2


@pytest.mark.parametrize("junk", [b"\0" * 3000, b"<html>" * 1000, b"\r\n" * 4000, b"%PDF trailing 12 words " * 200])
def test_any_number_of_bytes_after_a_pdf_is_accepted(tmp_path, junk):
    path = pdfs.written(tmp_path / "mailed.pdf", "one", "two")
    path.write_bytes(path.read_bytes() + junk)
    inspected = asyncio.run(inspect_document(path, LIMITS))
    assert (inspected.document.pages, inspected.flags) == (2, ())


def test_an_update_that_is_cut_off_is_refused_though_the_document_before_it_is_whole(tmp_path):
    path = pdfs.written(tmp_path / "updated.pdf", "one", "two")
    update = b"\n9 0 obj\n<</Length 99999>>stream\n" + b"BT ET " * 900
    path.write_bytes(path.read_bytes() + update)
    with pytest.raises(DocumentError, match="is truncated"):
        open_document(path, LIMITS)


def test_a_linearized_pdf_below_its_declared_length_is_refused(tmp_path):
    """It has an end mark near its beginning."""
    path = pdfs.written(tmp_path / "web.pdf", "one", "two")
    head = b"%PDF-1.7\n99 0 obj\n<</Linearized 1/L 999999/O 3/E 900/N 2/T 900>>\nendobj\n"
    path.write_bytes(head + path.read_bytes()[9:])
    with pytest.raises(DocumentError, match="is truncated"):
        open_document(path, LIMITS)


# What is to be known of the whole document


def counting(path: Path, kids: str, count: str) -> Path:
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 100 100]>>"
    tree = f"<</Type/Pages/Kids[{kids}]/Count {count}>>".encode()
    return pdfs.assembled(path, [b"<</Type/Catalog/Pages 2 0 R>>", tree, page, page])


@pytest.mark.parametrize(
    ("kids", "count", "pages"),
    [
        ("3 0 R", "15000", 1),
        ("3 0 R 4 0 R", "1", 2),
        ("3 0 R 4 0 R", "-7", 2),
        ("3 0 R 4 0 R", "2147483648", 2),
        ("3 0 R 2 0 R 4 0 R", "3", 2),
        ("3 0 R 4 0 R 9 0 R", "4", 3),
    ],
)
def test_a_document_has_its_actual_pages_instead_of_the_declared_number(tmp_path, kids, count, pages):
    inspected = asyncio.run(inspect_document(counting(tmp_path / "counts.pdf", kids, count), LIMITS))
    assert inspected.document.pages == pages
    assert [flag.name for flag in inspected.flags] == [FlagName.PAGES]
    assert f"and has {pages}." in inspected.flags[0].detail


def test_a_document_that_counts_right_has_no_flags(tmp_path):
    assert asyncio.run(inspect_document(counting(tmp_path / "counts.pdf", "3 0 R 4 0 R", "2"), LIMITS)).flags == ()


def carrying(path: Path, names: list[str], *, portfolio: bool) -> Path:
    with pymupdf.open() as pdf:
        pdf.new_page()
        for name in names:
            pdf.embfile_add(name, b"inside", filename=name)
        if portfolio:
            pdf.xref_set_key(pdf.pdf_catalog(), "Collection", "<</Type/Collection/View/D>>")
        pdf.save(path)
    return path


@pytest.mark.parametrize("portfolio", [True, False])
def test_attached_files_are_named(tmp_path, portfolio):
    path = carrying(tmp_path / "portfolio.pdf", ["inner.pdf", "sums.xlsx"], portfolio=portfolio)
    (flag,) = asyncio.run(inspect_document(path, LIMITS)).flags
    assert flag.name is FlagName.FILES
    assert "inner.pdf, sums.xlsx" in flag.detail
    assert ("portfolio" in flag.detail) == portfolio


def test_many_files_are_counted_and_their_names_printable(tmp_path):
    path = carrying(tmp_path / "many.pdf", [f"{number:02}\x1b]0;\u202e.pdf" for number in range(30)], portfolio=True)
    (flag,) = asyncio.run(inspect_document(path, LIMITS)).flags
    assert "and 10 more" in flag.detail
    assert flag.detail.isprintable()
