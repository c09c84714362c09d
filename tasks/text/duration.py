"""How long something takes, in words."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """For a person: 35 s, 12 min, 3.5 h, 2.1 d."""
    for size, unit in ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
