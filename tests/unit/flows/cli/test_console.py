"""What reaches a person's terminal, and what becomes of the command when its streams are closed, full or left."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text

from flows.cli.console import Terminal
from tests.support.environment import clean

pytestmark = pytest.mark.long("each is a command in a pipe or a terminal of its own: 20 s in all")

EVIL = "\x1b]0;title\x1b\\ \x9b31m \u202efdp [/red] [red] :warning: \x1b[2J"
SPELLED = r"\x1b]0;title\x1b\ \x9b31m \u202efdp [/red] [red] :warning: \x1b[2J"
ROOT = Path(__file__).parents[4]
FOLDER = ROOT / "flows" / "cli"


def terminal() -> tuple[Terminal, io.StringIO]:
    """A colour terminal, and what it gets."""
    screen = io.StringIO()
    return Terminal(file=screen, force_terminal=True, width=200, color_system="standard"), screen


def table() -> Table:
    made = Table("a")
    made.add_row(EVIL)
    return made


@pytest.mark.parametrize("shown", [EVIL, Text(EVIL), table()])
def test_text_of_others_cannot_act_on_a_terminal(shown: object):
    console, screen = terminal()
    console.print(shown, style="red")
    plain = re.sub(r"\x1b\[[0-9;]*m", "", screen.getvalue())
    assert SPELLED in plain
    assert "\x1b" not in plain


@given(st.text())
def test_any_text_is_printed_without_control_characters(text: str):
    console, screen = terminal()
    console.error(text)
    console.note(text)
    console.say(text, "red")
    assert not re.search(
        r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", re.sub(r"\x1b\[[0-9;]*m", "", screen.getvalue())
    )
    assert screen.getvalue().count("\n") == 3


def test_no_command_prints_past_the_console():
    """Text is made safe at the console, and not at each call."""
    for path in FOLDER.glob("*.py"):
        if path.name != "console.py":
            assert not re.search(
                r"\bConsole\(|std(out|err)\.write|\bprint\(|escape\(", re.sub(r"\.print\(", "", path.read_text())
            )


# Streams


def hearth(*arguments: str, redirected: str = "", **environment: str) -> subprocess.CompletedProcess[bytes]:
    """The command, run by a shell as people do."""
    command = f'exec "{sys.executable}" -P -m flows.cli.main "$@" {redirected}'
    env = {**clean(), "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(["sh", "-c", command, "sh", *arguments], capture_output=True, check=False, env=env)


@pytest.mark.parametrize("redirected", [">&-", "<&- >&- 2>&-", "2>/dev/full"])
def test_a_closed_stream_changes_nothing_else(tmp_path: Path, redirected: str):
    done = hearth("sample", str(tmp_path / "sample.pdf"), redirected=redirected)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / "sample.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize("command", [("--version",), ("prices", "show")])
def test_a_full_standard_output_is_an_error(tmp_path: Path, command: tuple[str, ...]):
    done = hearth(*command, redirected=">/dev/full", HEARTH_HOME=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.decode().splitlines() == [
        "Error: Standard output cannot be written: No space left on device. The stored results are complete."
    ]


def test_a_reader_that_stops_early_is_no_error(tmp_path: Path):
    reading, writing = os.pipe()
    os.close(reading)
    try:
        program = [sys.executable, "-P", "-m", "flows.cli.main", "prices", "show"]
        env = {**clean(), "PYTHONPATH": str(ROOT), "HEARTH_HOME": str(tmp_path)}
        done = subprocess.run(program, stdout=writing, stderr=subprocess.PIPE, check=False, env=env)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.long("starts an interpreter for each: 2 to 4 s")
@pytest.mark.parametrize(
    "locale",
    [
        {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1"},
        {"LC_ALL": "xx_XX.nothing"},
    ],
)
def test_messages_are_readable_in_every_locale(tmp_path: Path, locale: dict[str, str]):
    done = hearth("read", str(tmp_path / "größe €.pdf"), **locale)
    assert done.returncode == 2
    told = done.stderr.decode("latin-1" if "latin-1" in locale.values() else "utf-8")
    assert told.endswith("does not exist. Check the path.\n")
    assert "größe" in told


def test_a_file_name_on_the_command_line_cannot_act_on_the_terminal():
    """The shell puts it there where somebody writes *.pdf."""
    ours, theirs = pty.openpty()
    program = [sys.executable, "-P", "-m", "flows.cli.main", "read", "a.pdf", "\x1b]0;title\x07.pdf"]
    done = subprocess.run(program, stderr=theirs, check=False, env={**clean(), "PYTHONPATH": str(ROOT)})
    told = os.read(ours, 10_000).decode()
    os.close(ours)
    os.close(theirs)
    assert done.returncode == 2
    assert r"\x1b]0;title\x07.pdf" in told
    assert "\x1b]" not in told


@pytest.mark.parametrize("columns", ["30", "200", None])
def test_a_message_is_one_line_whatever_the_width(monkeypatch: pytest.MonkeyPatch, columns: str | None):
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns:
        monkeypatch.setenv("COLUMNS", columns)
    told = "The file does not exist, and so is not read: see /a/path/that/is/longer/than/the/line.pdf, and try again."
    screen = io.StringIO()
    Terminal(file=screen).error(told)
    assert screen.getvalue() == f"Error: {told}\n"
