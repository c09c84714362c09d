"""The terminal, and the standard streams, of every command.

Text of others cannot act on the terminal, and no output is lost in a pipe. Commands print through `out`, `err`,
`write` or `print_json`.
"""

import io
import json
import os
import select
import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from tasks.core.errors import StorageError
from tasks.core.escaping import escape_controls, escape_line

_ASCII = {"ascii", "us-ascii", "ansi_x3.4-1968", "646"}


class Terminal(Console):
    """A rich console without markup, on which control characters are spelled out."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - rich's
        super().__init__(**{"markup": False, "emoji": False, "highlight": False, **options})

    def say(self, text: str, style: str = "") -> None:
        """Print one line of any length. Only the terminal wraps it, so that it can be copied, and logs keep it."""
        self.print(escape_line(text), style=style or None, soft_wrap=True)

    def error(self, text: str) -> None:
        """Print an error."""
        self._labelled("Error:", "red", text)

    def note(self, text: str) -> None:
        """Print a warning or a hint."""
        self._labelled("Note:", "yellow", text)

    def _labelled(self, label: str, style: str, text: str) -> None:
        line = Text(f"{label} {escape_line(text)}")
        line.stylize(style, 0, len(label))
        self.print(line, soft_wrap=True)

    def render_str(self, text: str, **options: Any) -> Text:  # noqa: ANN401 - rich's
        """Spell out control characters before rich measures the text, so that it fits its table cell."""
        return super().render_str(escape_controls(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Spell out the control characters of everything that is not rich's own control."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=escape_controls(segment.text))


out = Terminal()
err = Terminal(stderr=True)


def plain_table(*headers: str, title: str | None = None) -> Table:
    """Make a table without lines. Cells that do not fit are folded, not cut."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), title=title, title_justify="left")
    for header in headers:
        table.add_column(header, overflow="fold")
    return table


def write(text: str) -> None:
    """Write text to standard output unchanged; on a terminal, control characters are spelled out."""
    sys.stdout.write(escape_controls(text) if sys.stdout.isatty() else text)


def print_json(value: object) -> None:
    """Write a value as one line of JSON."""
    write(json.dumps(value) + "\n")


class _Descriptor(io.FileIO):
    """A standard stream whose writes never raise in the middle of a run.

    Attributes:
        lost: why some output could not be written; None if all was written, or the reader closed the pipe.
    """

    lost: OSError | None = None

    def write(self, data: Any, /) -> int:  # noqa: ANN401 - a buffer
        """Write as much as possible, and report everything as written."""
        try:
            while (written := super().write(data)) is None:  # another process made the stream non-blocking
                select.select((), (self,), ())
        except BrokenPipeError:
            return len(data)
        except OSError as error:
            self.lost = self.lost or error
            return len(data)
        return written


def speak_utf8() -> None:
    """Restart in UTF-8 mode if the locale is ASCII: a document's name must not depend on who runs the command."""
    if sys.getfilesystemencoding().lower() in _ASCII and os.environ.get("PYTHONUTF8") != "1":
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - no shell


def open_streams() -> None:
    """Replace standard output and error with streams that are always usable; call it before anything else.

    A closed descriptor is opened on /dev/null, before another file gets its number. An ASCII locale is treated as
    unset, and characters that the encoding lacks are spelled out.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:  # a descriptor of 0 to 2 was closed
        os.set_inheritable(number, True)  # noqa: FBT003 - the library's signature
    os.close(number)
    sys.stdout = _opened(1, sys.stdout)
    sys.stderr = _opened(2, sys.stderr)


def close_streams() -> None:
    """Flush standard output and error.

    Raises:
        StorageError: some standard output was lost.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    raw = sys.stdout.buffer.raw if isinstance(sys.stdout, io.TextIOWrapper) else None
    if isinstance(raw, _Descriptor) and raw.lost is not None:
        raise StorageError(f"Standard output cannot be written: {raw.lost.strerror}. The stored results are complete.")


def _opened(number: int, before: Any) -> io.TextIOWrapper:  # noqa: ANN401 - None where it was closed
    encoding = getattr(before, "encoding", None) or "utf-8"
    return io.TextIOWrapper(
        io.BufferedWriter(_Descriptor(number, "w", closefd=False)),
        encoding="utf-8" if encoding.lower() in _ASCII else encoding,
        errors="backslashreplace",
        line_buffering=number == 2 or os.isatty(number),
        write_through=number == 2,
    )
