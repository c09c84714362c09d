"""Text that can be stored and shown, whatever a server sent, and in whatever encoding a file was saved."""

from __future__ import annotations

import codecs
import re

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
# Control characters but tab, line feed, form feed and carriage return.
_CONTROLS = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f]")
# The longer marks first: UTF-32's begins as UTF-16's does.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def legible(text: str) -> str:
    """Return the text with U+FFFD for halves of surrogate pairs, which no file can hold, and for control characters.

    The halves of a pair that came apart, as at the end of a streamed piece, are put together.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return _CONTROLS.sub(REPLACEMENT, text)


def decoded(content: bytes) -> str:
    """Return a text file's content: by its byte order mark, else as UTF-8, as UTF-16 without mark, or as Windows-1252.

    It always returns something: what fits none of them is Latin-1, in which every byte is a character.
    """
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return content[len(mark) :].decode(encoding, errors="replace")
    for encoding in (*_by_zeros(content), "utf-8", "cp1252"):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    return content.decode("latin-1")


def _by_zeros(content: bytes) -> tuple[str, ...]:
    """UTF-16 if every other byte of the beginning is zero: so are most of a text in Latin letters."""
    head = content[:200]
    for first, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        if len(head) > 1 and head[first::2].count(0) > 0.7 * len(head[first::2]) and 0 not in head[1 - first :: 2]:
            return (encoding,)
    return ()
