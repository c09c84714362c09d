"""Foreign text within Markdown: it is shown literally, and cannot break a table or become a heading, link or tag."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import quote

from tasks.core.escaping import escape_line
from tasks.core.paths import S3Path

EXCERPT = 80
"""Longest excerpt of a page, characters."""
_SPECIAL = re.compile(r"[\\`*_\[\]<>|~&$!]")
# At the start of a line: a heading, a list or an underline; "1." and "1)" start a list, too.
_SPECIAL_FIRST = re.compile(r"^([#+=-]|\d+(?=[.)]))")


def escaped(text: str) -> str:
    """Return text in one line, shown literally: Prefect's UI renders strings in tables as Markdown, too."""
    line = _SPECIAL.sub(r"\\\g<0>", escape_line(" ".join(text.split())))
    return _SPECIAL_FIRST.sub(lambda first: f"{first[0]}\\" if first[0].isdigit() else f"\\{first[0]}", line)


def excerpt(text: str) -> str:
    """Return the first words of a text, in one line and escaped."""
    line = " ".join(text[: 8 * EXCERPT].split())
    return escaped(line if len(line) <= EXCERPT else f"{line[: EXCERPT - 1].rstrip()}…")


def link(place: Path | S3Path) -> str:
    """Return a link to a file that shows its path, since some pages cannot follow links to files."""
    url = place.as_uri() if isinstance(place, Path) else quote(str(place), safe=":/")
    return f"[{escaped(str(place))}]({url})"


def table(head: Sequence[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """Return the lines of a table, whose cells are already escaped."""

    def line(cells: Iterable[str]) -> str:
        return f"| {' | '.join(cells)} |"

    return [line(head), line(["---"] * len(head)), *map(line, rows)]
