"""Opening of documents: memory, time, passwords, and limits."""

from __future__ import annotations

import os
import sys
import zlib
from pathlib import Path

import pytest

from tasks.core.errors import HostileError, InputError, LimitError, PasswordError
from tasks.documents.pdf import open_document, password_from
from tasks.settings.reading import LimitSettings
from tests.support import hostile, pdfs

LIMITS = LimitSettings()


def locked(path: Path) -> Path:
    return pdfs.encrypted(path, "Hello", "secret")


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
    path = hostile.many_updates(tmp_path / "slow.pdf")
    with pytest.raises(HostileError, match=r"hostile.*takes more than 0\.05\d* s to open.*HEARTH_LIMITS__OPEN_SECONDS"):
        open_document(path, LimitSettings(open_seconds=0.05, render_seconds=0.05))


def test_the_suffix_of_the_name_does_not_matter(tmp_path):
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


def test_as_many_pages_as_the_limit_are_accepted(tmp_path):
    assert open_document(pdfs.written(tmp_path / "long.pdf", "one", "two"), LimitSettings(pages=2)).pages == 2
