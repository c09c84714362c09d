"""The content of a file decides what kind of document it is; its name, whether a folder's search finds it."""

from __future__ import annotations

import pytest

from tasks.core.document_kinds import KINDS, PDF, is_document, kind_of

HEADS = {
    "PDF": (b"%PDF-1.7", b"\xef\xbb\xbf%PDF-1.4", bytes(1019) + b"%PDF-"),
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "JPEG": (b"\xff\xd8\xff\xe0", b"\xff\xd8\xff\xe1"),
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "WebP": (b"RIFF\n\0\n\nWEBPVP8 ",),
}


def test_each_kind_has_its_marks():
    assert {kind.name for kind in KINDS} == set(HEADS)
    for name, heads in HEADS.items():
        for head in heads:
            found = kind_of(head + bytes(100))
            assert found is not None
            assert found.name == name


@pytest.mark.parametrize("head", [b"", b"RIFF\0\0\0\0WAVE", b"\xff\xd8", b"GIF89a", bytes(1020) + b"%PDF-"])
def test_what_has_no_mark_is_of_no_kind(head: bytes):
    assert kind_of(head) is None


def test_a_picture_that_is_a_pdf_too_is_one():
    assert kind_of(b"\xff\xd8\xff\xfe%PDF-1.7") is PDF


@pytest.mark.parametrize(("name", "found"), [("a.PDF", True), ("b.tiff", True), (".png", False), ("a.gif", False)])
def test_a_name_is_a_documents_by_its_suffix(name: str, found: bool):
    assert is_document(name) is found
