"""Scans of pages that this project draws itself: print, turned and skewed, and pages that are no print."""

from __future__ import annotations

import io
import math
import random
from collections.abc import Callable
from pathlib import Path

import pymupdf
from PIL import Image, ImageDraw

from tasks.scans.lines import turned

A4_POINTS = (595, 842)
PROSE = (
    "A baker who lights the oven once a day bakes more bread than one who lights it for each loaf. The stone keeps the "
    "heat, and the wood is paid for once. When the queue is short he lets it cool. None of this is news to those who "
    "bake, but those who rent machines pay for cold ones every night, and wonder in the morning where the money went. "
)
_HAN = "烤炉每天只点一次火的面包师比每块面包都点火的人烤得多石头保温柴火只付一次"


def drawing(draw: Callable[[pymupdf.Page], object], dpi: int = 150) -> Image.Image:
    """A grey image of an A4 page that is drawn."""
    with pymupdf.open() as pdf:
        page = pdf.new_page(width=A4_POINTS[0], height=A4_POINTS[1])
        draw(page)
        pixmap = page.get_pixmap(dpi=dpi, colorspace=pymupdf.csGRAY)
        return Image.frombytes("L", (pixmap.width, pixmap.height), pixmap.samples)


def prose(dpi: int = 150) -> Image.Image:
    """A page of English."""
    return drawing(lambda page: page.insert_textbox((60, 60, 535, 780), PROSE * 5, fontsize=11, fontname="tiro"), dpi)


def han() -> Image.Image:
    """A page of Chinese characters, in lines from left to right."""
    return drawing(lambda page: page.insert_textbox((60, 60, 535, 780), _HAN * 20, fontsize=12, fontname="china-s"))


def music() -> Image.Image:
    """Staves with notes."""
    page = Image.new("L", (1240, 1754), 255)
    pen, chance = ImageDraw.Draw(page), random.Random(5)
    for top in range(150, 1600, 180):
        for line in range(5):
            pen.line((120, top + 16 * line, 1120, top + 16 * line), fill=0, width=2)
        for left in range(170, 1100, 45):
            head = top + 8 * chance.randrange(9)
            pen.ellipse((left, head - 7, left + 18, head + 7), fill=0)
            pen.line((left + 17, head, left + 17, head - 50), fill=0, width=2)
    return page


def plan() -> Image.Image:
    """Curves and corners, as of a map."""
    page = Image.new("L", (1240, 1754), 255)
    pen, chance = ImageDraw.Draw(page), random.Random(7)
    for _ in range(60):
        x, y, way = chance.uniform(0, 1240), chance.uniform(0, 1754), chance.uniform(0, 6.3)
        points = []
        for _ in range(80):
            way += chance.uniform(-0.4, 0.4)
            x, y = x + 20 * math.cos(way), y + 20 * math.sin(way)
            points.append((x, y))
        pen.line(points, fill=40, width=chance.choice((2, 4)))
    return page


def chart() -> Image.Image:
    """Bars with a name below each."""
    page = Image.new("L", (1240, 1754), 255)
    pen = ImageDraw.Draw(page)
    for at in range(8):
        pen.rectangle((150 + 120 * at, 1200 - 90 * at, 220 + 120 * at, 1300), fill=90)
        pen.text((165 + 120 * at, 1320), f"{1990 + at}", fill=0, font_size=22)
    return page


def photo() -> Image.Image:
    """Light and shadow without edges."""
    return Image.radial_gradient("L").resize((1240, 1754))


NO_PRINT = {"chart": chart, "music": music, "photo": photo, "plan": plan}


def askew(page: Image.Image, degrees: float) -> Image.Image:
    """The page, put in with a skew of so many degrees clockwise."""
    return page.rotate(-degrees, Image.Resampling.BICUBIC, fillcolor=255)


def written(path: Path, *pages: Image.Image) -> Path:
    """A PDF that holds the pages as pictures of 150 dpi, without text."""
    with pymupdf.open() as pdf:
        for image in pages:
            stored = io.BytesIO()
            image.save(stored, "PNG")
            page = pdf.new_page(width=image.width * 72 / 150, height=image.height * 72 / 150)
            page.insert_image(page.rect, stream=stored.getvalue())
        pdf.save(path)
    return path


def born_digital(path: Path, *rotations: int) -> Path:
    """A PDF with a page of text for each rotation, in degrees clockwise, by which it is shown."""
    with pymupdf.open() as pdf:
        for rotation in rotations:
            page = pdf.new_page(width=A4_POINTS[0], height=A4_POINTS[1])
            page.insert_textbox((60, 60, 535, 780), PROSE * 5, fontsize=11, fontname="tiro")
            page.set_rotation(rotation)
        pdf.save(path)
    return path


def in_all_positions(page: Image.Image) -> list[Image.Image]:
    """The page as it is, and turned clockwise by 90, 180 and 270 degrees."""
    return [turned(page, degrees) for degrees in (0, 90, 180, 270)]
