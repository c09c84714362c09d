"""Small PDFs that are made to cost whoever opens or renders them minutes, gigabytes, or the process."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.support.pdfs import assembled, stream

CATALOG = b"<</Type/Catalog/Pages 2 0 R>>"
_MEGA = 1_000_000


def _tree(count: int = 1, kids: str = "3 0 R") -> bytes:
    return f"<</Type/Pages/Kids[{kids}]/Count {count}>>".encode()


def _page(resources: str = "", box: str = "0 0 612 792") -> bytes:
    return f"<</Type/Page/Parent 2 0 R/MediaBox[{box}]/Contents 4 0 R/Resources<<{resources}>>>>".encode()


def _document(path: Path, content: bytes, resources: str = "", *extras: bytes, filters: str = "") -> Path:
    """One page, with a content stream and further objects from 5 on."""
    head = f"<</Filter[{filters}]".encode() if filters else b"<<"
    return assembled(path, [CATALOG, _tree(), _page(resources), stream(content, head), *extras])


def _zeros(times: int, size: int) -> bytes:
    """A few bytes that are unpacked, so many times over, to `size` zeros."""
    data = bytes(size)
    for _ in range(times):
        data = zlib.compress(data, 9)
    return data


def _indexed(path: Path, updates: int, size: int, packed: bytes, filters: str) -> Path:
    """A document whose index streams name `size` objects, `updates` times."""
    assembled(path, [CATALOG, _tree(), _page(), stream(b"BT ET")])
    data = bytearray(path.read_bytes())
    del data[data.rindex(b"xref\n") :]
    before, start = "", 0
    for _ in range(updates):
        start = len(data)
        index = f"<</Type/XRef/Size {size}/Root 1 0 R/W[1 4 1]/Index[6 {size - 6}]/Filter[{filters}]{before}"
        data += b"7 0 obj\n" + stream(packed, index.encode()) + b"\nendobj\n"
        before = f"/Prev {start}"
    path.write_bytes(data + b"startxref\n%d\n%%%%EOF\n" % start)
    return path


def index_bomb(path: Path) -> Path:
    """Index streams of eight million objects each, unpacked twice, ten of them."""
    return _indexed(path, 10, 8 * _MEGA, _zeros(2, 48 * _MEGA), "/FlateDecode/FlateDecode")


def many_updates(path: Path) -> Path:
    """A thousand updates, each with an index of 200,000 objects."""
    return _indexed(path, 1000, 200_000, _zeros(1, 1_199_964), "/FlateDecode")


def object_stream_bomb(path: Path) -> Path:
    """Object streams that each unpack to 200 MB, for every object of the page tree."""
    packed = zlib.compress(zlib.compress(b"1 0 " + b" " * (200 * _MEGA), 9), 9)
    kids = " ".join(f"{number} 0 R" for number in range(10, 510))
    streams = stream(packed, b"<</Type/ObjStm/N 1/First 4/Filter[/FlateDecode/FlateDecode]")
    rows = [struct.pack(">BHB", 0, 0, 0)] * 10 + [struct.pack(">BHB", 2, 5, 0)] * 500
    assembled(path, [CATALOG, _tree(500, kids), b"null", b"null", streams])
    data = path.read_bytes()
    places = {number: data.index(b"%d 0 obj" % number) for number in (1, 2, 5)}
    for number, place in places.items():
        rows[number] = struct.pack(">BHB", 1, place, 0)
    start = data.rindex(b"xref\n")
    start = data.rindex(b"xref\n", 0, start) if data[start - 5 : start] == b"start" else start
    index = b"<</Type/XRef/Size 510/Root 1 0 R/W[1 2 1]"
    whole = data[:start] + b"7 0 obj\n" + stream(b"".join(rows), index) + b"\nendobj\nstartxref\n%d\n%%%%EOF\n" % start
    path.write_bytes(whole)
    return path


def deep_arrays(path: Path) -> Path:
    """Arrays in arrays, a million of them."""
    return assembled(
        path, [b"<</Type/Catalog/Pages 2 0 R/Deep " + b"[" * _MEGA + b"]" * _MEGA + b">>", _tree(), _page()]
    )


def deep_pages(path: Path) -> Path:
    """A page tree of a hundred thousand levels."""
    nodes = [f"<</Type/Pages/Kids[{number + 1} 0 R]/Count 1>>".encode() for number in range(2, 100_000)]
    return assembled(path, [CATALOG, *nodes, _page()])


def cyclic_pages(path: Path) -> Path:
    """Nodes of a page tree that are each other's children, and their own."""
    kids = "2 0 R 3 0 R 4 0 R " * 1000
    node = f"<</Type/Pages/Kids[{kids}]/Count 999999>>".encode()
    return assembled(path, [CATALOG, node, node, node])


def same_page_ever_again(path: Path) -> Path:
    """One page, named two million times."""
    return assembled(path, [CATALOG, b"<</Type/Pages/Count 2000000/Kids[" + b"3 0 R " * (2 * _MEGA) + b"]>>", _page()])


def recursive_forms(path: Path) -> Path:
    """Forms of which each draws the next ten times, twelve levels deep: a million million drawings."""

    def form(number: int) -> bytes:
        head = f"<</Type/XObject/Subtype/Form/BBox[0 0 612 792]/Resources<</XObject<</F {number + 1} 0 R>>>>"
        return stream(b"/F Do " * 10, head.encode())

    last = stream(b"0 0 9 9 re f", b"<</Type/XObject/Subtype/Form/BBox[0 0 612 792]")
    return _document(path, b"/F Do", "/XObject<</F 5 0 R>>", *map(form, range(5, 17)), last)


def form_in_itself(path: Path) -> Path:
    """A form that draws itself."""
    form = stream(b"/F Do /F Do", b"<</Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</F 5 0 R>>>>")
    return _document(path, b"/F Do", "/XObject<</F 5 0 R>>", form)


def content_bomb(path: Path) -> Path:
    """Instructions that are unpacked three times, to 70 MB of lines."""
    packed = zlib.compress(zlib.compress(zlib.compress(b"0 0 m 9 9 l S\n" * (5 * _MEGA), 9), 9), 9)
    return _document(path, packed, filters="/FlateDecode/FlateDecode/FlateDecode")


def nested_states(path: Path) -> Path:
    """Ten million graphics states within each other."""
    return _document(path, zlib.compress(b"q " * (10 * _MEGA), 9), filters="/FlateDecode")


def picture_bomb(path: Path) -> Path:
    """A picture of 225 megapixels in a few kilobytes, drawn two hundred times."""
    head = b"<</Type/XObject/Subtype/Image/Width 15000/Height 15000/BitsPerComponent 8/ColorSpace/DeviceGray"
    picture = stream(_zeros(2, 15_000 * 15_000), head + b"/Filter[/FlateDecode/FlateDecode]")
    return _document(path, b"612 0 0 792 0 0 cm /P Do " * 200, "/XObject<</P 5 0 R>>", picture)


def jpx_bomb(path: Path) -> Path:
    """JPEG 2000 data of 60,000 x 60,000 pixels in tiles of one, in a picture that says it is small."""
    size = struct.pack(">HHIIIIIIIIH", 41, 0, 60_000, 60_000, 0, 0, 60_000, 60_000, 0, 0, 1) + b"\x07\x01\x01"
    style = struct.pack(">HBBHBBBBBB", 12, 0, 0, 1, 0, 5, 4, 4, 0, 1)
    quantities = struct.pack(">HB", 3 + 16, 0x40) + b"\x40" * 16
    data = b"\xff\x4f\xff\x51" + size + b"\xff\x52" + style + b"\xff\x5c" + quantities
    data += b"\xff\x90" + struct.pack(">HHIBB", 10, 0, 0, 0, 1) + b"\xff\x93" + bytes(64) + b"\xff\xd9"
    head = b"<</Type/XObject/Subtype/Image/Width 100/Height 100/Filter/JPXDecode"
    return _document(path, b"612 0 0 792 0 0 cm /P Do", "/XObject<</P 5 0 R>>", stream(data, head))


def jbig2_bomb(path: Path) -> Path:
    """A JBIG2 page of 60,000 x 60,000 pixels, in a picture that says it is small."""
    page = struct.pack(">IIIIBH", 60_000, 60_000, 0, 0, 0, 0)
    data = struct.pack(">IBBBI", 0, 48, 0, 1, len(page)) + page
    region = struct.pack(">IIIIB", 60_000, 60_000, 0, 0, 0) + b"\x00\x03\xff\xfd\xff\x02\xfe\xfe\xfe" + bytes(32)
    data += struct.pack(">IBBBI", 1, 38, 0, 1, len(region)) + region
    head = b"<</Type/XObject/Subtype/Image/Width 100/Height 100/BitsPerComponent 1/ColorSpace/DeviceGray"
    head += b"/Filter/JBIG2Decode"
    return _document(path, b"612 0 0 792 0 0 cm /P Do", "/XObject<</P 5 0 R>>", stream(data, head))


def font_bomb(path: Path) -> Path:
    """A font whose program is unpacked to 300 MB, and a character map of as much."""
    program = stream(_zeros(2, 300 * _MEGA), b"<</Length1 300000000/Filter[/FlateDecode/FlateDecode]")
    describes = b"<</Type/FontDescriptor/FontName/Bomb/Flags 4/FontFile2 7 0 R>>"
    font = b"<</Type/Font/Subtype/TrueType/BaseFont/Bomb/FontDescriptor 6 0 R/ToUnicode 7 0 R>>"
    return _document(path, b"BT /F 12 Tf 72 700 Td (Hello) Tj ET", "/Font<</F 5 0 R>>", font, describes, program)


def type3_in_itself(path: Path) -> Path:
    """A font of drawings that writes with itself."""
    font = b"<</Type/Font/Subtype/Type3/FontBBox[0 0 1 1]/FontMatrix[1 0 0 1 0 0]/FirstChar 97/LastChar 97/Widths[1]"
    font += b"/Encoding<</Differences[97/a]>>/CharProcs<</a 6 0 R>>/Resources<</Font<</F 5 0 R>>>>>>"
    return _document(
        path, b"BT /F 9 Tf (aaaa) Tj ET", "/Font<</F 5 0 R>>", font, stream(b"BT /F 1 Tf (aaaaaaaaaa) Tj ET")
    )


def pattern_storm(path: Path) -> Path:
    """A tiling pattern with tiles of a thousandth of a point, over the whole page."""
    pattern = (
        b"<</Type/Pattern/PatternType 1/PaintType 1/TilingType 1/BBox[0 0 1 1]/XStep .001/YStep .001/Resources<<>>"
    )
    page = b"/Pattern cs /T scn 0 0 612 792 re f " * 50
    return _document(path, page, "/Pattern<</T 5 0 R>>", stream(b"1 0 0 rg 0 0 .5 .5 re f", pattern))


def function_storm(path: Path) -> Path:
    """A shading of which each pixel takes a program of a million steps."""
    steps = b"{" + b"dup mul 1 add " * 100_000 + b"pop pop 0}"
    function = stream(steps, b"<</FunctionType 4/Domain[0 1 0 1]/Range[0 1]")
    shading = b"<</ShadingType 1/ColorSpace/DeviceGray/Domain[0 1 0 1]/Matrix[612 0 0 792 0 0]/Function 6 0 R>>"
    return _document(path, b"/S sh", "/Shading<</S 5 0 R>>", shading, function)


def attachments_bomb(path: Path) -> Path:
    """A name tree of attachments that is its own branch."""
    catalog = b"<</Type/Catalog/Pages 2 0 R/Names<</EmbeddedFiles 5 0 R>>>>"
    names = b"<</Kids[" + b"5 0 R 6 0 R " * 500 + b"]>>"
    return assembled(path, [catalog, _tree(), _page(), stream(b"BT ET"), names, names])


def form_fields_in_circles(path: Path) -> Path:
    """Form fields that are each other's children."""
    catalog = b"<</Type/Catalog/Pages 2 0 R/AcroForm<</Fields[5 0 R 6 0 R]>>>>"
    field = b"<</FT/Tx/T(a)/V(b)/Subtype/Widget/Rect[0 0 99 99]/Kids[5 0 R 6 0 R]/Parent 5 0 R>>"
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R/Annots[" + b"5 0 R 6 0 R " * 50_000 + b"]>>"
    return assembled(path, [catalog, _tree(), page, stream(b"BT ET"), field, field])


def xfa_bomb(path: Path) -> Path:
    """An XFA packet that is unpacked to 200 MB."""
    catalog = b"<</Type/Catalog/Pages 2 0 R/AcroForm<</Fields[]/XFA[(template)5 0 R]>>>>"
    packet = stream(_zeros(2, 200 * _MEGA), b"<</Filter[/FlateDecode/FlateDecode]")
    return assembled(path, [catalog, _tree(), _page(), stream(b"BT ET"), packet])


AT_ONCE: Sequence[Callable[[Path], Path]] = (
    *(index_bomb, many_updates, object_stream_bomb, deep_arrays, deep_pages, cyclic_pages),
    *(same_page_ever_again, attachments_bomb, xfa_bomb),
)
"""They bite when they are opened."""

ON_THE_PAGE: Sequence[Callable[[Path], Path]] = (
    *(recursive_forms, form_in_itself, content_bomb, nested_states, picture_bomb, jpx_bomb, jbig2_bomb, font_bomb),
    *(type3_in_itself, pattern_storm, function_storm, form_fields_in_circles),
)
"""They bite when a page is rendered."""
