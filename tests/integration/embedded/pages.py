"""Pages of known text."""

import io

import pymupdf
from PIL import Image

PARAGRAPHS = (
    "The harbour master keeps a ledger of every vessel that enters the bay. On quiet mornings he reads"
    " the names aloud and the gulls answer from the roof.",
    "Winter brings fewer ships and longer entries. A single barge may fill a page with cargo, weather and"
    " the complaints of its captain.",
)
LEFT = (
    "Alpha column begins here and tells of rivers that run toward the northern sea through green valleys."
    " Where two of them meet there stands a mill, and the miller counts the sacks twice before supper."
    " Below the weir the water is slow and brown, and boys fish there for perch until the lamps are lit."
    " Farther on come meadows, then reeds, then the wide grey mouth with its two lighthouses."
)
RIGHT = (
    "Omega column follows after and tells of mountains where the snow remains until the middle of summer."
    " A road of nineteen bends climbs to the pass, and at each bend there is a stone with a number."
    " Travellers rest at the ninth, where a spring comes out of the rock and fills a wooden trough."
    " From the top one sees three countries, and on clear evenings the smoke of a fourth."
)


def png(page: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    page.save(buffer, kind)
    return buffer.getvalue()


def render(*boxes: tuple[tuple[float, float, float, float], str], size: float = 12) -> Image.Image:
    with pymupdf.open() as document:
        page = document.new_page(width=595, height=842)
        for rectangle, text in boxes:
            page.insert_textbox(pymupdf.Rect(rectangle), text, fontsize=size)
        pixels = page.get_pixmap(dpi=120)
        return Image.frombytes("RGB", (pixels.width, pixels.height), pixels.samples)
