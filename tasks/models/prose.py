"""The parts of a text that are not code: only these are converted, because code is copied as it stands."""

import re
from collections.abc import Callable

_FENCE = re.compile(r" {0,3}(?P<marks>`{3,}|~{3,})(?P<rest>[^`]*)$")
CODE_SPAN = r"(?<!`)(?P<ticks>`{1,2})(?!`)[^`\n]+(?P=ticks)(?!`)"
"""Code within a line, as a part of a pattern."""


def map_prose(text: str, convert: Callable[[str], str]) -> str:
    """Convert a text, but for its fenced blocks of code. A fence that is never closed holds all that follows."""
    parts: list[str] = []
    lines: list[str] = []
    fence = ""
    for line in text.split("\n"):
        mark = _FENCE.match(line)
        if fence:
            lines.append(line)
            if mark and mark["marks"].startswith(fence) and not mark["rest"].strip():
                parts.append("\n".join(lines))
                lines, fence = [], ""
        elif mark:
            if lines:
                parts.append(convert("\n".join(lines)))
            lines, fence = [line], mark["marks"]
        else:
            lines.append(line)
    if lines:
        rest = "\n".join(lines)
        parts.append(rest if fence else convert(rest))
    return "\n".join(parts)
