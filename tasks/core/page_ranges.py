"""Page numbers as text: a person's selection such as 3,7-9 or 10-, and lists of pages in the same format."""

import re
from collections.abc import Iterable, Iterator
from string import whitespace

from tasks.core.errors import InputError

# For text without outer blanks; more places for blanks would make its time quadratic in their number.
_RANGE = re.compile(r"(\d{1,9})(?:\s*(-)\s*(\d{1,9})?)?", re.ASCII)
_SHOWN = 100


def select_pages(selection: str | None, pages: int) -> tuple[int, ...]:
    """Return the page numbers of a selection, counted from 1, ascending, each once.

    Args:
        selection: such as "3,7-9" or "10-"; None means all.
        pages: number of pages of the document.

    Raises:
        InputError: the selection is invalid, or names a page that does not exist.
    """
    if not selection:
        return tuple(range(1, pages + 1))
    numbers: list[int] = []
    # In order, so that overlapping ranges add each number once.
    for first, last in sorted(_ranges(selection, pages)):
        numbers.extend(range(max(first, numbers[-1] + 1 if numbers else 1), last + 1))
    return tuple(numbers)


def format_ranges(numbers: Iterable[int]) -> str:
    """Return page numbers as a selection, such as 1-3,7; empty for none."""
    ranges: list[list[int]] = []
    for number in sorted(numbers):
        if ranges and ranges[-1][-1] == number - 1:
            ranges[-1] = [ranges[-1][0], number]
        else:
            ranges.append([number])
    return ",".join("-".join(map(str, bounds)) for bounds in ranges)


def parse_ranges(text: str, most: int = 999_999) -> tuple[int, ...]:
    """Return the page numbers that `format_ranges` wrote, none over `most`.

    Raises:
        InputError: the text has another format.
    """
    return select_pages(text, most) if text else ()


def _ranges(selection: str, pages: int) -> Iterator[tuple[int, int]]:
    for part in (entry.strip(whitespace) for entry in selection.split(",")):
        match = _RANGE.fullmatch(part)
        if match is None:
            raise InputError(f"The page selection {_short(selection)!r} is invalid. Write it like 3,7-9 or 10-.")
        first = int(match[1])
        last = int(match[3]) if match[3] else pages if match[2] else first
        if first > last or first < 1 or last > pages:
            count = f"{pages} page{'s' if pages > 1 else ''}"
            raise InputError(f"The page selection {_short(part)!r} is out of range: the document has {count}.")
        yield first, last


def _short(selection: str) -> str:
    return selection if len(selection) <= _SHOWN else f"{selection[:_SHOWN]}..."
