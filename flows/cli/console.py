"""The ways to a person's terminal and to a pipe: nothing of others acts on the one, nothing is lost in the other.

Whatever the commands print goes through a `Terminal`, or through `write`.
"""

from __future__ import annotations

import io
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
    """A console for text of others: it has no markup, and its control characters are spelled out."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - rich's
        super().__init__(**{"markup": False, "emoji": False, "highlight": False, **options})

    def say(self, text: str, style: str = "") -> None:
        """Print one line, however long it is: a terminal wraps it, from which it can be copied, and a log keeps it."""
        self.print(escape_line(text), style=style or None, soft_wrap=True)

    def error(self, text: str) -> None:
        """Print what went wrong."""
        self._headed("Error:", "red", text)

    def note(self, text: str) -> None:
        """Print what a person should know."""
        self._headed("Note:", "yellow", text)

    def _headed(self, head: str, style: str, text: str) -> None:
        told = Text(f"{head} {escape_line(text)}")
        told.stylize(style, 0, len(head))
        self.print(told, soft_wrap=True)

    def render_str(self, text: str, **options: Any) -> Text:  # noqa: ANN401 - rich's
        """See rich. What is spelled out before it is measured fits into its cell."""
        return super().render_str(escape_controls(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """See rich."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=escape_controls(segment.text))


def plain_table(*heads: str, title: str | None = None) -> Table:
    """Make a table without lines. A cell that does not fit is folded: nothing of it is lost."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), title=title, title_justify="left")
    for head in heads:
        table.add_column(head, overflow="fold")
    return table


def write(text: str) -> None:
    """Write text to standard output as it is; its control characters are spelled out on a terminal."""
    sys.stdout.write(escape_controls(text) if sys.stdout.isatty() else text)


class _Descriptor(io.FileIO):
    """One of the process's own streams. A write to it never fails in the middle of a run.

    Attributes:
        lost: why something could not be written; None if all was, or if its reader wanted no more.
    """

    lost: OSError | None = None

    def write(self, data: Any, /) -> int:  # noqa: ANN401 - a buffer
        """Write what can be written; the rest is taken as written."""
        try:
            while (written := super().write(data)) is None:  # somebody has set it not to block
                select.select((), (self,), ())
        except BrokenPipeError:
            return len(data)
        except OSError as error:
            self.lost = self.lost or error
            return len(data)
        return written


def speak_utf8() -> None:
    """Begin anew in UTF-8 mode where the locale is ASCII: a document's name must not depend on who runs the command."""
    if sys.getfilesystemencoding().lower() in _ASCII and os.environ.get("PYTHONUTF8") != "1":
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - no shell


def open_streams() -> None:
    """Have standard output and error at hand, whatever this process was started with; call it before anything else.

    A closed one becomes a hole, before another file gets its number. An ASCII locale is taken for one that nobody has
    chosen, and what an encoding has no character for is spelled out.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:  # a number is wanted
        os.set_inheritable(number, True)  # noqa: FBT003 - the library's signature
    os.close(number)
    sys.stdout = _opened(1, sys.stdout)
    sys.stderr = _opened(2, sys.stderr)


def close_streams() -> None:
    """Write what is still to be written to standard output.

    Raises:
        StorageError: some of it is lost.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    raw = sys.stdout.buffer.raw if isinstance(sys.stdout, io.TextIOWrapper) else None
    if isinstance(raw, _Descriptor) and raw.lost is not None:
        raise StorageError(f"Standard output cannot be written: {raw.lost.strerror}. What was stored stands.")


def _opened(number: int, before: Any) -> io.TextIOWrapper:  # noqa: ANN401 - None where it was closed
    encoding = getattr(before, "encoding", None) or "utf-8"
    return io.TextIOWrapper(
        io.BufferedWriter(_Descriptor(number, "w", closefd=False)),
        encoding="utf-8" if encoding.lower() in _ASCII else encoding,
        errors="backslashreplace",
        line_buffering=number == 2 or os.isatty(number),
        write_through=number == 2,
    )
