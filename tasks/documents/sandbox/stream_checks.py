"""Damage that MuPDF does not report: streams with zeros, a wrong checksum, or a missing part."""

import re
import struct
import zlib

import pymupdf

# An incomplete download has zeros where a part is missing. Neither coded pictures nor drawing instructions hold so many
# in a row.
_ZEROS = bytes(64)
_SLICE = 2**16
_TABLE_HEAD = 17
_MOST_PRECINCTS = 64
_ASCII_FILTERS = {"ASCIIHexDecode", "AHx", "ASCII85Decode", "A85"}
_CODED_FILTERS = {"JBIG2Decode", "LZWDecode", "LZW"}
# A JPEG's baseline frame, and the start of its scan; the data before it may be padded.
_BASELINE, _SCAN = (b"\xff\xc0", b"\xff\xc1"), b"\xff\xda"
# JPEG 2000: the size and the coding style of the image, the start of its data, and the style with precincts.
_SIZE, _STYLE, _DATA, _PRECINCTS = b"\xff\x4f\xff\x51", b"\xff\x52", b"\xff\x93", 1
# JBIG2 segments: the minimum bytes of a header, and the length of a segment whose data mark their end.
_JBIG2_HEADER = 11
_UNKNOWN_LENGTH = 0xFFFFFFFF
_MANY_REFERRED = 7
_WIDE_PAGE_NUMBER = 0x40
_INLINE = re.compile(rb"\bBI\b.*?\sID\s", re.DOTALL)

HOLE = "a part of its data is zeros"
CHECKSUM = "its data does not match its checksum"
SHORT = "a part of its data is missing"


class StreamChecks:
    """Checks the streams of a document's pages, each once."""

    def __init__(self, pdf: pymupdf.Document) -> None:
        self._pdf = pdf
        self._found: dict[int, str | None] = {}

    def damages(self, page: pymupdf.Page) -> list[str]:
        """Return the damage of a page's instructions, forms and pictures."""
        named = [("the page's content", xref, True) for xref in page.get_contents()]
        named += [("a drawing on it", form[0], True) for form in page.get_xobjects()]
        named += [("a picture on it", picture[0], False) for picture in page.get_images(full=True)]
        checked = ((what, self._damage(xref, drawn)) for what, xref, drawn in named)
        return list(dict.fromkeys(f"{what}: {problem}" for what, problem in checked if problem))[:3]

    def _damage(self, xref: int, instructions: bool) -> str | None:  # noqa: FBT001 - private
        if xref not in self._found:
            self._found[xref] = self._check(xref, instructions) if xref else None
        return self._found[xref]

    def _check(self, xref: int, instructions: bool) -> str | None:  # noqa: FBT001 - private
        if not self._pdf.xref_is_stream(xref):
            return None  # MuPDF reports it
        raw = self._pdf.xref_stream_raw(xref)
        kind, value = self._pdf.xref_get_key(xref, "Filter")
        if kind == "xref":
            kind, value = "array", self._pdf.xref_object(int(value.split()[0]))
        filters = re.findall(r"/(\w+)", value) if kind in {"name", "array"} else []
        return damage(raw, filters[0] if filters else "", instructions=instructions)


def damage(raw: bytes, coding: str, *, instructions: bool) -> str | None:
    """Return the damage of a stored stream; None if none is visible.

    Args:
        raw: its bytes.
        coding: the filter that was applied last; empty if none was.
        instructions: the stream holds drawing instructions instead of a picture.
    """
    if coding in {"FlateDecode", "Fl"}:
        return None if _checksum_fits(raw) else CHECKSUM
    if coding in {"DCTDecode", "DCT"}:
        return HOLE if _jpeg_has_hole(raw) else None
    if coding == "JPXDecode":
        return HOLE if _jpx_has_hole(raw) else None
    if coding == "JBIG2Decode" and not _has_all_segments(raw):
        return SHORT
    searchable = coding in _ASCII_FILTERS or coding in _CODED_FILTERS or (instructions and not coding)
    return HOLE if searchable and _has_hole(raw, instructions=instructions) else None


def _checksum_fits(raw: bytes) -> bool:
    """Return whether deflated data match their checksum. MuPDF reports truncated data."""
    unpacker = zlib.decompressobj()
    try:
        for at in range(0, len(raw), _SLICE):
            unpacker.decompress(raw[at : at + _SLICE])
    except zlib.error as error:
        return "incorrect data check" not in str(error)
    return True


def _jpeg_has_hole(jpeg: bytes) -> bool:
    """Return whether a baseline JPEG has zeros in its scan that do not stand for an even area."""
    scan = jpeg.find(_SCAN)
    baseline = any(marker in jpeg[:scan] for marker in _BASELINE)
    return scan >= 0 and baseline and jpeg.find(_ZEROS, scan) >= 0 and not _zeros_mean_flat(jpeg[:scan])


def _zeros_mean_flat(head: bytes) -> bool:
    """Return whether the shortest code of an AC table ends a block, so that zeros code an even area."""
    for table in re.finditer(rb"\xff\xc4(..)", head, re.DOTALL):
        (length,) = struct.unpack(">H", table[1])
        tables = head[table.end() : table.end() + length - 2]
        while len(tables) > _TABLE_HEAD:
            if tables[0] >> 4 == 1 and tables[_TABLE_HEAD] == 0:
                return True
            tables = tables[_TABLE_HEAD + sum(tables[1:_TABLE_HEAD]) :]
    return False


def _jpx_has_hole(jpx: bytes) -> bool:
    """Return whether JPEG 2000 data have more zeros in a row than an even tile, whose empty packets are zeros."""
    size, style, data = jpx.find(_SIZE), jpx.find(_STYLE), jpx.find(_DATA)
    if min(size, style, data) < 0:
        return False
    components = int.from_bytes(jpx[size + 40 : size + 42], "big")
    kind, layers, levels = jpx[style + 4], int.from_bytes(jpx[style + 6 : style + 8], "big"), jpx[style + 9]
    packets = components * layers * (levels + 1) * (_MOST_PRECINCTS if kind & _PRECINCTS else 1)
    return jpx.find(bytes(len(_ZEROS) + packets), data) >= 0


def _has_all_segments(raw: bytes) -> bool:
    """Return whether each segment of an embedded JBIG2 stream has its declared length."""
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
    """Return the start and the length of a segment's data (ITU-T T.88, 7.2)."""
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
    """Return whether there are zeros other than the pixels of an inline image."""
    at = raw.find(_ZEROS)
    while at >= 0:
        before = max(raw.rfind(b"EI", 0, at), 0)
        if not instructions or not _INLINE.search(raw, before, at):
            return True
        end = raw.find(b"EI", at)
        at = raw.find(_ZEROS, end) if end >= 0 else -1
    return False
