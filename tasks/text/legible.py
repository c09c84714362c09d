"""Text that can be stored and shown, whatever a server sent."""

from __future__ import annotations

import re

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
# Control characters but tab, line feed, form feed and carriage return.
_CONTROLS = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f]")


def legible(text: str) -> str:
    """Return the text with U+FFFD for halves of surrogate pairs, which no file can hold, and for control characters.

    The halves of a pair that came apart, as at the end of a streamed piece, are put together.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return _CONTROLS.sub(REPLACEMENT, text)
