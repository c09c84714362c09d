"""Which files are taken, which are refused, and which pages a selection means."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pymupdf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.errors import DocumentError, HostileError, InputError, LimitError, PasswordError
from tasks.core.flags import FlagName
from tasks.documents.pdf import inspect_document, open_document, password_from, select_pages
from tasks.settings.reading import LimitSettings
from tests.support import pdfs

LIMITS = LimitSettings()


@contextmanager
def without_privileges() -> Iterator[None]:
    """As a user whom file permissions bind; root becomes nobody for a while."""
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


def locked(path: Path) -> Path:
    return pdfs.encrypted(path, "Hello", "secret")


@pytest.mark.parametrize(
    ("make", "what", "remedy"),
    [
        (missing, "does not exist", "Check the path"),
        (directory, "is a directory", "Name one PDF file"),
        (pipe, "is not a regular file", "Name one PDF file"),
        (loop, "cannot be read", "Check the path"),
        (too_long, "cannot be read", "Check the path"),
        (not_a_path, "cannot be read", "Check the path"),
        (empty, "is empty", "again"),
        (text, "is not a PDF", "Name a PDF file"),
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


def test_damage_that_every_viewer_mends_is_no_hindrance(tmp_path):
    assert open_document(pdfs.misdirected(tmp_path / "mended.pdf"), LIMITS).pages == 3


def test_bytes_around_a_pdf_are_no_hindrance(tmp_path):
    """Mail gateways put lines before and after it; the format allows 1024 bytes."""
    path = pdfs.written(tmp_path / "mailed.pdf", "one", "two")
    path.write_bytes(b"Content-Type: application/pdf\r\n\r\n" + path.read_bytes() + b"\0" * 500)
    assert open_document(path, LIMITS).pages == 2


@pytest.mark.parametrize("junk", [b"\0" * 3000, b"<html>" * 1000, b"\r\n" * 4000, b"%PDF trailing 12 words " * 200])
def test_any_number_of_bytes_after_a_pdf_is_no_hindrance(tmp_path, junk):
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


def test_a_linearized_pdf_that_is_shorter_than_it_says_is_refused(tmp_path):
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
def test_a_document_has_the_pages_that_it_has_and_not_those_that_it_says(tmp_path, kids, count, pages):
    inspected = asyncio.run(inspect_document(counting(tmp_path / "counts.pdf", kids, count), LIMITS))
    assert inspected.document.pages == pages
    assert [flag.name for flag in inspected.flags] == [FlagName.PAGES]
    assert f"it has {pages}." in inspected.flags[0].detail


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
def test_files_that_a_document_carries_are_named(tmp_path, portfolio):
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


# What opening a document may take


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits a process's address space")
def test_a_document_that_takes_too_much_memory_to_open_is_refused(tmp_path):
    """An index of 100 million objects in a few kilobytes; MuPDF would take gigabytes for it."""
    rows = zlib.compress(bytes(40_000_000))
    index = b"<</Type/XRef/Size 10000000/W[1 2 1]/Root 1 0 R/Filter/FlateDecode"
    path = pdfs.assembled(tmp_path / "bomb.pdf", [b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[]/Count 0>>"])
    whole = path.read_bytes()
    start = len(whole)
    whole += b"9 0 obj\n" + pdfs.stream(rows, index) + b"\nendobj\nstartxref\n%d\n%%%%EOF\n" % start
    path.write_bytes(whole)
    with pytest.raises(InputError, match=r"bomb\.pdf"):
        open_document(path, LimitSettings(render_memory_mb=300))


def test_a_document_that_takes_too_long_to_open_is_refused(tmp_path):
    path = pdfs.written(tmp_path / "slow.pdf", "one")
    with pytest.raises(
        HostileError, match=r"hostile.*takes more than 0\.0001\d* s to open.*HEARTH_LIMITS__OPEN_SECONDS"
    ):
        open_document(path, LimitSettings(open_seconds=0.0001, render_seconds=0.0001))


def test_the_ending_of_the_name_does_not_matter(tmp_path):
    assert open_document(pdfs.written(tmp_path / "paper", "one"), LIMITS).pages == 1


def test_an_encrypted_pdf_asks_for_its_password(tmp_path):
    path = locked(tmp_path / "locked.pdf")
    with pytest.raises(PasswordError, match=r"locked\.pdf is encrypted.*--password-env") as caught:
        open_document(path, LIMITS)
    assert caught.value.exit_code == 2


def test_a_wrong_password_is_refused_and_not_repeated(tmp_path):
    path = locked(tmp_path / "locked.pdf")
    with pytest.raises(PasswordError, match=r"locked\.pdf is wrong.*[Cc]orrect") as caught:
        open_document(path, LIMITS, "guessed")
    assert "guessed" not in str(caught.value)


@pytest.mark.parametrize("password", ["secret", "the owner's"])
def test_the_users_and_the_owners_password_open_it(tmp_path, password):
    assert open_document(locked(tmp_path / "locked.pdf"), LIMITS, password).pages == 1


def test_a_password_for_an_open_pdf_does_no_harm(tmp_path):
    assert open_document(pdfs.written(tmp_path / "open.pdf", "one"), LIMITS, "secret").pages == 1


def test_a_password_comes_from_the_variable_that_is_named(monkeypatch):
    monkeypatch.setenv("PAPER_PASSWORD", "secret")
    assert password_from("PAPER_PASSWORD") == "secret"


def test_no_variable_means_no_password():
    assert password_from(None) is None


def test_a_password_variable_that_is_not_set_is_named():
    with pytest.raises(PasswordError, match=r"PAPER_PASSWORD .* not set\. Set it"):
        password_from("PAPER_PASSWORD")


def test_too_large_a_file_names_the_setting_that_allows_it(tmp_path):
    path = tmp_path / "large.pdf"
    path.touch()
    os.truncate(path, 1_000_001)
    with pytest.raises(LimitError, match=r"large\.pdf has 1 MB; .*HEARTH_LIMITS__FILE_MB") as caught:
        open_document(path, LimitSettings(file_mb=1))
    assert caught.value.exit_code == 2


def test_too_many_pages_name_the_setting_that_allows_them(tmp_path):
    path = pdfs.written(tmp_path / "long.pdf", "one", "two", "three")
    with pytest.raises(LimitError, match=r"long\.pdf has 3 pages; .*HEARTH_LIMITS__PAGES"):
        open_document(path, LimitSettings(pages=2))


def test_as_many_pages_as_the_limit_are_taken(tmp_path):
    assert open_document(pdfs.written(tmp_path / "long.pdf", "one", "two"), LimitSettings(pages=2)).pages == 2


def test_no_selection_means_all_pages():
    assert select_pages(None, 3) == (1, 2, 3)


@pytest.mark.parametrize(
    ("selection", "meant"),
    [
        ("3", (3,)),
        ("3,7-9", (3, 7, 8, 9)),
        ("8-", (8, 9, 10)),
        ("9-9", (9,)),
        (" 2 , 4 - 5 ", (2, 4, 5)),
        ("5,1-2,2", (1, 2, 5)),
    ],
)
def test_a_selection_is_numbers_and_ranges(selection, meant):
    assert select_pages(selection, 10) == meant


def test_no_selection_is_every_page():
    assert select_pages(None, 3) == select_pages("", 3) == (1, 2, 3)


@pytest.mark.parametrize("selection", [" ", ",", "3,", "-3", "a", "1..3", "1-2-3", "1.5", "٣", "all", "1_0"])
def test_a_selection_that_is_not_understood_shows_how_to_write_it(selection):
    with pytest.raises(InputError, match=re.escape(repr(selection)) + ".*Write it like 3,7-9"):
        select_pages(selection, 10)


@pytest.mark.parametrize("selection", [",".join(["1-"] * 20_000), f"1-{' ' * 100_000}10", f"1{' ' * 100_000}- 10"])
def test_a_long_selection_takes_no_longer_than_it_is_long(selection):
    """Not by a clock: the numbers of 20,000 ranges one by one would not fit into memory."""
    assert select_pages(selection, 10) == tuple(range(1, 11))
    assert len(select_pages(",".join(["1-"] * 20_000), 20_000)) == 20_000


def test_a_long_selection_is_not_told_in_full():
    with pytest.raises(InputError) as raised:
        select_pages(f"1-{' ' * 100_000}x", 10)
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize("selection", ["0", "11", "5-11", "7-3", "11-", "99999999"])
def test_a_page_that_is_not_there_is_told_with_the_number_of_pages(selection):
    with pytest.raises(InputError, match=f"'{selection}' is out of .*10 pages"):
        select_pages(selection, 10)


@st.composite
def selections(draw) -> tuple[int, set[int], str]:
    """A document's pages, some of them, and a way to write those."""
    pages = draw(st.integers(1, 300))
    number = st.integers(1, pages)
    parts = draw(st.lists(st.tuples(number, number).map(sorted), min_size=1, max_size=8))
    meant = {number for first, last in parts for number in range(first, last + 1)}
    written = [str(first) if first == last else f"{first}-{last}" for first, last in parts]
    return pages, meant, ",".join(written)


@given(selections())
def test_a_selection_gives_each_page_once_and_in_order(case):
    pages, meant, selection = case
    assert select_pages(selection, pages) == tuple(sorted(meant))


@given(st.text() | st.text("0123456789-, \n"), st.integers(1, 50))
def test_any_text_is_a_selection_or_an_input_error(selection, pages):
    with suppress(InputError):
        assert set(select_pages(selection, pages)) <= set(range(1, pages + 1))
