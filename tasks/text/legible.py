"""Text that can be stored and shown, whatever a server sent and however a file is encoded."""

import codecs
import re

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
# Control characters but tab, line feed, form feed and carriage return.
_CONTROLS = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f]")
# Longer marks first: UTF-32's begins like UTF-16's.
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
    """Decode a text file by its byte order mark, or as UTF-16 without mark, UTF-8, Windows-1252 or Latin-1.

    It never fails: in Latin-1, every byte is a character.
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
    """Return UTF-16 if every other byte at the start is zero, as it is for Latin letters."""
    head = content[:200]
    for first, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        if len(head) > 1 and head[first::2].count(0) > 0.7 * len(head[first::2]) and 0 not in head[1 - first :: 2]:
            return (encoding,)
    return ()
