"""Text of others within Markdown: it is shown as it is, and can neither break a table nor be a heading, link or tag."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import quote

from tasks.core.escaping import escape_line
from tasks.core.paths import S3Path

EXCERPT = 80
"""Characters of a page that are shown of it."""
_MEANT = re.compile(r"[\\`*_\[\]<>|~&$!]")
# At the beginning of a line: a heading, a list, an underlining; "1." and "1)" begin a list, too.
_MEANT_FIRST = re.compile(r"^([#+=-]|\d+(?=[.)]))")


def escaped(text: str) -> str:
    """In one line, every character shown as it is. Prefect's UI takes each string in a table for Markdown, too."""
    line = _MEANT.sub(r"\\\g<0>", escape_line(" ".join(text.split())))
    return _MEANT_FIRST.sub(lambda first: f"{first[0]}\\" if first[0].isdigit() else f"\\{first[0]}", line)


def excerpt(text: str) -> str:
    """The first words of a text, in one line and escaped."""
    line = " ".join(text[: 8 * EXCERPT].split())
    return escaped(line if len(line) <= EXCERPT else f"{line[: EXCERPT - 1].rstrip()}…")


def link(place: Path | S3Path) -> str:
    """A link to a file that shows the file's path, for pages that cannot follow it."""
    url = place.as_uri() if isinstance(place, Path) else quote(str(place), safe=":/")
    return f"[{escaped(str(place))}]({url})"


def table(head: Sequence[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """The lines of a table; its cells are escaped already."""

    def line(cells: Iterable[str]) -> str:
        return f"| {' | '.join(cells)} |"

    return [line(head), line(["---"] * len(head)), *map(line, rows)]
