"""A document from standard input."""

from __future__ import annotations

import io
import os
import pty
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.cli.stdin import document_from_stdin
from tasks.core.errors import InputError, LimitError

PDF = b"%PDF-1.7 " + bytes(3_000_000)


@pytest.fixture
def piped(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(PDF)))
    yield
    sys.stdin.close()


@pytest.mark.usefixtures("piped")
class TestPiped:
    def test_the_file_has_the_name_and_the_bytes_of_the_document(self):
        with document_from_stdin("paper.pdf", 10) as path:
            assert (path.name, path.read_bytes()) == ("paper.pdf", PDF)

    def test_no_other_user_can_read_the_file(self):
        with document_from_stdin("paper.pdf", 10) as path:
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700

    def test_the_file_is_deleted_after_reading(self):
        with document_from_stdin("paper.pdf", 10) as path:
            pass
        assert not path.parent.exists()

    def test_a_document_over_the_limit_is_refused_and_leaves_no_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        with pytest.raises(LimitError, match="exceeds 2 MB"), document_from_stdin("paper.pdf", 2):
            pass
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("name", ["", ".", "..", "a/b.pdf", "/etc/passwd", "a\0b", "x" * 201, "../up.pdf"])
    def test_an_invalid_file_name_is_refused(self, name: str):
        with pytest.raises(InputError, match="--name"), document_from_stdin(name, 10):
            pass


def test_empty_standard_input_is_refused(monkeypatch: pytest.MonkeyPatch):
    with io.TextIOWrapper(io.BytesIO()) as empty:
        monkeypatch.setattr(sys, "stdin", empty)
        with pytest.raises(InputError, match="is empty"), document_from_stdin("paper.pdf", 10):
            pass


def test_a_terminal_as_standard_input_is_refused_at_once(monkeypatch: pytest.MonkeyPatch):
    controller, terminal = pty.openpty()
    with os.fdopen(terminal) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        with pytest.raises(InputError, match="a terminal"), document_from_stdin("paper.pdf", 10):
            pass
    os.close(controller)
