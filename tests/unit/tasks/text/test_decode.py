"""Text files in whatever encoding they were saved."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.text.legible import decoded

TEXT = "/data/café.pdf\n# Größe\nreport.pdf\n"


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "latin-1", "cp1252", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
)
def test_it_is_recognised(encoding: str):
    assert decoded(TEXT.encode(encoding)) == TEXT


def test_windows_quotes_are_recognised():
    assert decoded("“x” €".encode("cp1252")) == "“x” €"


@given(st.binary())
def test_every_file_is_some_text(content: bytes):
    assert isinstance(decoded(content), str)


@given(st.text())
def test_utf8_is_always_read_as_such(text: str):
    """Unless it begins as another encoding's mark, or is as full of zeros as UTF-16."""
    if "\0" not in text and not text.startswith("\ufeff"):
        assert decoded(text.encode()) == text
