"""Foreign text that is shown to people."""

from __future__ import annotations

import io
import logging
import unicodedata
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.errors import InputError
from tasks.core.escaping import escape_controls, escape_line, escape_logs, escape_surrogates

BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


@given(st.text())
def test_no_control_character_is_left(text: str):
    shown = escape_controls(text)
    assert not [c for c in shown if unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"} and c not in "\t\n"]
    assert not set(BIDI) & set(shown)
    shown.encode()


@given(st.text(alphabet=st.characters(exclude_categories=("Cc", "Cf", "Cs", "Zl", "Zp"))))
def test_all_else_stays(text: str):
    assert escape_controls(text) == escape_line(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", r"\x1b[31mred"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("evil\u202efdp.exe", r"evil\u202efdp.exe"),
        ("caf\udce9", r"caf\udce9"),
        ("over\rwritten", r"over\rwritten"),
        ("a\r\nb\tc\n", "a\nb\tc\n"),
        ("\u05e9\u05dc\u05d5\u05dd e\u0301 👩‍🔬", "\u05e9\u05dc\u05d5\u05dd e\u0301 👩‍🔬"),
    ],
)
def test_they_are_spelled_out(text: str, shown: str):
    assert escape_controls(text) == shown


def test_a_name_cannot_begin_a_line_of_its_own():
    assert escape_line("x.pdf\nError: forged") == r"x.pdf\nError: forged"


def test_the_message_of_an_error_can_be_stored():
    assert str(InputError("caf\udce9.pdf is missing")).encode()
    assert escape_surrogates("café") == "café"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """The output of a handler for the logger `others`."""
    made, written = logging.getLogRecordFactory(), io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("others")
    logger.addHandler(handler)
    yield written
    logger.removeHandler(handler)
    logging.setLogRecordFactory(made)


def test_log_records_are_visible_whoever_writes_them(log: io.StringIO):
    escape_logs()
    escape_logs()
    logging.getLogger("others").warning("reading %s", "\x1b[2J.pdf")
    assert log.getvalue() == "reading \\x1b[2J.pdf\n"


def test_so_are_their_tracebacks(log: io.StringIO):
    escape_logs()
    try:
        raise InputError("\x1b]0;title\x07 is no PDF")
    except InputError:
        logging.getLogger("others").exception("it failed")
    assert "\x1b" not in log.getvalue()
    assert r"\x1b]0;title\x07 is no PDF" in log.getvalue()
