"""A small scanned PDF for trials: pictures of pages, without a text layer."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pymupdf
from PIL import Image, ImageChops

_A4 = pymupdf.Rect(0, 0, 595, 842)
_BODY = pymupdf.Rect(64, 72, 531, 770)
_LEFT = pymupdf.Rect(54, 120, 288, 770)
_RIGHT = pymupdf.Rect(307, 120, 541, 770)
_SCAN_DPI = 150
_STYLE = "* { font-family: serif; font-size: 11.5pt; line-height: 1.4 } h1 { font-size: 18pt } td { padding: 2pt 6pt }"

_LETTER = """<h1>The warm oven</h1>
<p>A baker who lights the oven for every loaf burns more wood than bread. The oven takes an hour to get hot and a
loaf takes twenty minutes to bake; so the sensible baker lights it once, fills every shelf, and lets the fire go
out when the last order is done.</p>
<p>A machine that reads pages with a large model is an oven. Loading the model takes half a minute or more, reading
a page takes a few seconds, and the machine is paid for by the second whether it reads or not. One machine for each
page means one cold oven for each loaf.</p>
<p>The rest follows by itself. Load the model once. Keep every slot of it busy. Stop it when nobody has asked for
anything in a while, and make sure that it stops even when the baker has fallen asleep.</p>
<p>Kept in the kitchen drawer, 14 March 1987.</p>"""

_COLUMN_ONE = """<p>The left column begins here. It tells of the first half of a day: at six the shutters are opened, at
seven the first orders are read from the slate, and by eight every shelf of the oven is taken.</p><p>Nobody waits at
the door for long, since a shelf that falls free is filled at once with whatever is next in line, whoever ordered
it.</p><p>The left column ends here.</p>"""

_COLUMN_TWO = """<p>The right column begins here. It tells of the second half: at noon the queue is shorter than the
shelves, and at two there is nothing left to bake.</p><p>The fire is not put out at once, because an order may yet
come; but after ten quiet minutes the damper is closed, and the oven costs nothing until tomorrow.</p><p>The right
column ends here.</p>"""

_TABLE = """<h1>Orders of the week</h1><table>
<tr><td><b>Day</b></td><td><b>Loaves</b></td><td><b>Hours warm</b></td><td><b>Wood, kg</b></td></tr>
<tr><td>Monday</td><td>120</td><td>6.5</td><td>41</td></tr><tr><td>Tuesday</td><td>85</td><td>4.0</td><td>27</td></tr>
<tr><td>Wednesday</td><td>0</td><td>0.0</td><td>0</td></tr><tr><td>Thursday</td><td>210</td><td>9.5</td><td>58</td></tr>
<tr><td>Friday</td><td>164</td><td>8.0</td><td>49</td></tr></table>
<p>On Wednesday the oven stayed cold, and that was the cheapest day of all.</p>"""

_SIDEWAYS = """<h1>A page put in sideways</h1><p>Whoever fed the scanner turned this sheet by a quarter. The words
are the same as ever, and a reader who turns his head finds them without trouble.</p>"""

_FAINT = """<h1>A page that was copied too often</h1><p>Specks of dust and a grey veil lie over this sheet, and it went
through the feeder a little askew. It says only that the last loaf was sold at a quarter past five, and that the
baker went home content.</p>"""


_Wear = Callable[[Image.Image], Image.Image]


def write_sample(path: Path) -> None:
    """Write the scans of `sample_pages` as a PDF, which replaces an existing file."""
    with pymupdf.open() as pdf:
        for scan, _ in sample_pages():
            page = pdf.new_page(width=scan.width * 72 / _SCAN_DPI, height=scan.height * 72 / _SCAN_DPI)
            pixels = pymupdf.Pixmap(pymupdf.csGRAY, scan.width, scan.height, scan.tobytes(), 0)
            page.insert_image(page.rect, pixmap=pixels)
        pdf.save(path, deflate=True)


def sample_pages() -> Iterator[tuple[Image.Image, str]]:
    """Yield six A4 pages as grey scans, each with its text in reading order.

    They are prose, two columns, a table, a sideways page, a blank page, and a bad copy.
    """
    yield _scanned((_BODY, _LETTER))
    yield _scanned((_LEFT, _COLUMN_ONE), (_RIGHT, _COLUMN_TWO))
    yield _scanned((_BODY, _TABLE))
    yield _scanned((_BODY, _SIDEWAYS), wear=lambda scan: scan.transpose(Image.Transpose.ROTATE_90))
    yield _scanned()
    yield _scanned((_BODY, _FAINT), wear=_worn)


def _scanned(*boxes: tuple[pymupdf.Rect, str], wear: _Wear = lambda scan: scan) -> tuple[Image.Image, str]:
    """Return the scan and the text of a page with HTML in boxes."""
    with pymupdf.open() as pdf:
        page = pdf.new_page(width=_A4.width, height=_A4.height)
        for box, html in boxes:
            page.insert_htmlbox(box, html, css=_STYLE)
        text = "\n\n".join(page.get_text(clip=box) for box, _ in boxes)
        pixmap = page.get_pixmap(dpi=_SCAN_DPI, colorspace=pymupdf.csGRAY)
        return wear(Image.frombytes("L", (pixmap.width, pixmap.height), pixmap.samples)), text


def _worn(scan: Image.Image) -> Image.Image:
    """Return a scan turned slightly, under a grey veil and dust."""
    askew = scan.rotate(1.2, resample=Image.Resampling.BICUBIC, fillcolor=255)
    dust = Image.effect_noise(scan.size, 50).point(lambda shade: 255 if shade < 250 else 120)
    return ImageChops.darker(askew, dust).point(lambda shade: 40 + shade * 190 // 255)
