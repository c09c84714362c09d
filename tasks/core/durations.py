"""Durations: parsed from 2h, 90 minutes, 1 h 30 min or PT2H (ISO 8601), and formatted for people."""

import re
from datetime import timedelta

from pydantic import TypeAdapter, ValidationError

_UNITS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86_400.0),
    **dict.fromkeys(("w", "week", "weeks"), 7 * 86_400.0),
}
_ISO = re.compile(r"P[0-9.,DTHMSW]{1,40}", re.IGNORECASE | re.ASCII)
_PART = re.compile(r"(\d{1,9}(?:[.,]\d{1,9})?)\s{0,9}([a-z]{1,9})\s{0,9}", re.IGNORECASE | re.ASCII)
_WORDS = re.compile(rf"(?:{_PART.pattern}){{1,4}}", re.IGNORECASE | re.ASCII)
PATTERN = r"^\s*[0-9Pp].*[A-Za-z]\s*$"
"""The pattern of a duration in forms: short, because people see it, and true for every duration."""
_LONGEST = 366 * 86_400.0


def parse_duration(text: str) -> float:
    """Return the seconds of a duration.

    Raises:
        ValueError: it is not a duration, or not above 0 and at most 366 days.
    """
    stripped = text.strip()
    seconds = _parse_iso(stripped) if stripped[:1] in {"P", "p"} else _parse_words(stripped)
    if seconds is None:
        raise ValueError(f"{stripped[:40]!r} is not a duration; write it like 2h, 90 minutes or PT2H")
    if not 0 < seconds <= _LONGEST:
        raise ValueError(f"{stripped[:40]!r} is not above 0 and at most 366 days")
    return seconds


def _parse_words(text: str) -> float | None:
    if _WORDS.fullmatch(text) is None:
        return None
    parts = [(float(number.replace(",", ".")), _UNITS.get(unit.lower())) for number, unit in _PART.findall(text)]
    return None if any(unit is None for _, unit in parts) else sum(number * (unit or 0.0) for number, unit in parts)


def _parse_iso(text: str) -> float | None:
    if _ISO.fullmatch(text) is None:
        return None
    try:
        return TypeAdapter(timedelta).validate_python(text.upper()).total_seconds()
    except ValidationError:
        return None


def format_duration(seconds: float) -> str:
    """Return a duration for people, such as 35 s, 12 min, 3.5 h or 2.1 d."""
    for size, unit in ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
