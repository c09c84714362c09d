"""Damage of which MuPDF says nothing: streams in which a part is zeros, does not match its checksum, or is missing."""

from __future__ import annotations

import re
import struct
import zlib

import pymupdf

# A file that was not fetched whole has zeros where a part is missing. No coded picture holds so many in a row, and no
# drawing instructions do.
_ZEROS = bytes(64)
_SLICE = 2**16
_TABLE_HEAD = 17
_MOST_PRECINCTS = 64
_ASCII_FILTERS = {"ASCIIHexDecode", "AHx", "ASCII85Decode", "A85"}
_CODED_FILTERS = {"JBIG2Decode", "LZWDecode", "LZW"}
# A JPEG's baseline frame, and the start of its scan; what stands before may be padded.
_BASELINE, _SCAN = (b"\xff\xc0", b"\xff\xc1"), b"\xff\xda"
# Of JPEG 2000: the size and the coding style of the image, the start of its data, and a style of many small parts.
_SIZE, _STYLE, _DATA, _PRECINCTS = b"\xff\x4f\xff\x51", b"\xff\x52", b"\xff\x93", 1
# JBIG2 segments: a header of at least so many bytes, and the length of one whose end is told by its data.
_JBIG2_HEADER = 11
_UNKNOWN_LENGTH = 0xFFFFFFFF
_MANY_REFERRED = 7
_WIDE_PAGE_NUMBER = 0x40
_INLINE = re.compile(rb"\bBI\b.*?\sID\s", re.DOTALL)

HOLE = "a part of its data is zeros"
CHECKSUM = "its data does not match its checksum"
SHORT = "a part of its data is missing"


class StreamChecks:
    """Checks what a document's pages draw, each stream once."""

    def __init__(self, pdf: pymupdf.Document) -> None:
        self._pdf = pdf
        self._found: dict[int, str | None] = {}

    def damages(self, page: pymupdf.Page) -> list[str]:
        """What is wrong with a page's instructions, forms and pictures."""
        named = [("the page's content", xref, True) for xref in page.get_contents()]
        named += [("a drawing on it", form[0], True) for form in page.get_xobjects()]
        named += [("a picture on it", picture[0], False) for picture in page.get_images(full=True)]
        found = dict.fromkeys(f"{what}: {told}" for what, xref, drawn in named if (told := self._told(xref, drawn)))
        return list(found)[:3]

    def _told(self, xref: int, instructions: bool) -> str | None:  # noqa: FBT001 - private
        if xref not in self._found:
            self._found[xref] = self._check(xref, instructions) if xref else None
        return self._found[xref]

    def _check(self, xref: int, instructions: bool) -> str | None:  # noqa: FBT001 - private
        if not self._pdf.xref_is_stream(xref):
            return None  # MuPDF says so itself
        raw = self._pdf.xref_stream_raw(xref)
        kind, value = self._pdf.xref_get_key(xref, "Filter")
        if kind == "xref":
            kind, value = "array", self._pdf.xref_object(int(value.split()[0]))
        filters = re.findall(r"/(\w+)", value) if kind in {"name", "array"} else []
        return damage(raw, filters[0] if filters else "", instructions=instructions)


def damage(raw: bytes, coding: str, *, instructions: bool) -> str | None:
    """What is wrong with a stream as it is stored; None if nothing is to be seen.

    Args:
        raw: its bytes.
        coding: the filter that was applied last; empty if none was.
        instructions: these are drawing instructions, and no picture.
    """
    if coding in {"FlateDecode", "Fl"}:
        return None if _checksum_fits(raw) else CHECKSUM
    if coding in {"DCTDecode", "DCT"}:
        return HOLE if _jpeg_has_hole(raw) else None
    if coding == "JPXDecode":
        return HOLE if _jpx_has_hole(raw) else None
    if coding == "JBIG2Decode" and not _has_all_segments(raw):
        return SHORT
    looked_at = coding in _ASCII_FILTERS or coding in _CODED_FILTERS or (instructions and not coding)
    return HOLE if looked_at and _has_hole(raw, instructions=instructions) else None


def _checksum_fits(raw: bytes) -> bool:
    """Whether deflated data ends with its checksum, if it ends at all; MuPDF tells of the rest."""
    unpacker = zlib.decompressobj()
    try:
        for at in range(0, len(raw), _SLICE):
            unpacker.decompress(raw[at : at + _SLICE])
    except zlib.error as error:
        return "incorrect data check" not in str(error)
    return True


def _jpeg_has_hole(jpeg: bytes) -> bool:
    """Whether a baseline JPEG has zeros in its scan that its own tables do not make of an even area."""
    scan = jpeg.find(_SCAN)
    baseline = any(marker in jpeg[:scan] for marker in _BASELINE)
    return scan >= 0 and baseline and jpeg.find(_ZEROS, scan) >= 0 and not _zeros_mean_flat(jpeg[:scan])


def _zeros_mean_flat(head: bytes) -> bool:
    """Whether the shortest code of an AC table ends a block."""
    for table in re.finditer(rb"\xff\xc4(..)", head, re.DOTALL):
        (length,) = struct.unpack(">H", table[1])
        tables = head[table.end() : table.end() + length - 2]
        while len(tables) > _TABLE_HEAD:
            if tables[0] >> 4 == 1 and tables[_TABLE_HEAD] == 0:
                return True
            tables = tables[_TABLE_HEAD + sum(tables[1:_TABLE_HEAD]) :]
    return False


def _jpx_has_hole(jpx: bytes) -> bool:
    """Whether JPEG 2000 data have more zeros in a row than an even tile has packets, each a zero if it is empty."""
    size, style, data = jpx.find(_SIZE), jpx.find(_STYLE), jpx.find(_DATA)
    if min(size, style, data) < 0:
        return False
    components = int.from_bytes(jpx[size + 40 : size + 42], "big")
    kind, layers, levels = jpx[style + 4], int.from_bytes(jpx[style + 6 : style + 8], "big"), jpx[style + 9]
    packets = components * layers * (levels + 1) * (_MOST_PRECINCTS if kind & _PRECINCTS else 1)
    return jpx.find(bytes(len(_ZEROS) + packets), data) >= 0


def _has_all_segments(raw: bytes) -> bool:
    """Whether each segment of an embedded JBIG2 stream is as long as it says."""
    at = 0
    try:
        while at + _JBIG2_HEADER <= len(raw):
            at, length = _jbig2_segment(raw, at)
            if length == _UNKNOWN_LENGTH:
                return True
            at += length
    except struct.error:
        return False
    return at <= len(raw)


def _jbig2_segment(raw: bytes, at: int) -> tuple[int, int]:
    """Where a segment's data begin, and how long they are (ITU-T T.88, 7.2)."""
    number, flags, referred = struct.unpack_from(">IBB", raw, at)
    at += 5
    many = referred >> 5
    if many == _MANY_REFERRED:
        many = struct.unpack_from(">I", raw, at)[0] & 0x1FFFFFFF
        at += 4 + (many + 8) // 8
    else:
        at += 1
    number_size = 1 if number <= 2**8 else 2 if number <= 2**16 else 4
    at += many * number_size + (4 if flags & _WIDE_PAGE_NUMBER else 1)
    return at + 4, struct.unpack_from(">I", raw, at)[0]


def _has_hole(raw: bytes, *, instructions: bool) -> bool:
    """Whether there are zeros, but those that are the pixels of an inline image."""
    at = raw.find(_ZEROS)
    while at >= 0:
        before = max(raw.rfind(b"EI", 0, at), 0)
        if not instructions or not _INLINE.search(raw, before, at):
            return True
        end = raw.find(b"EI", at)
        at = raw.find(_ZEROS, end) if end >= 0 else -1
    return False
