"""Pages of documents of all kinds as images: their size, their strips, and the response that carries them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from PIL import Image

from tasks.documents.sandbox.raster import png_of, scale_for
from tasks.documents.sandbox.strips import MOST_STRIPS, Strip, cut, strip_points

# Ten times the format's limit (ISO 32000-1, annex C): no image could show anything of such a page.
LARGEST_POINTS = 144_000
# Pixels: a lower line of print cannot be read, nor can a long page of less width.
_LOWEST_LINE = 12
_LONGEST_SENTENCE = 1000

Clip = tuple[float, float, float, float]
"""Left, top, right and bottom of a part of a page, in points."""
Draw = Callable[[Clip | None], Image.Image]
"""Draws a page, or a part of it."""


class RefusedError(Exception):
    """A document or page that is not rendered.

    Attributes:
        reason: the kind of failure: for a page a `FailureReason`.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Limits:
    """The limits of documents and pages.

    Attributes:
        pages: maximum pages of a document.
        image_megapixels: size of the largest picture that is decoded.
    """

    pages: int
    image_megapixels: int


def drawn(
    size: tuple[float, float],
    longest_side: int,
    drawing: Callable[[float], Draw],
    taken: Callable[[float, bool], bytearray],
    largest_scale: float = float("inf"),
) -> tuple[list[Strip], float]:
    """Return a page's image or its strips, and their scale in pixels per point.

    Args:
        size: width and height in points.
        longest_side: of an image, in pixels.
        drawing: prepares a drawing at a scale.
        taken: returns which pixels along the page's length have words or pictures, at a scale; the page is tall or not.
        largest_scale: at which the page is drawn, pixels per point.

    Raises:
        RefusedError: no image of the page is readable.
    """
    width, height = size
    measures = f"it measures {width:g} x {height:g} points"
    strip = strip_points(width, height)
    if max(width, height) > LARGEST_POINTS or (strip and max(width, height) / strip > MOST_STRIPS):
        raise RefusedError("size", f"{measures}; no image of it is readable")
    scale = longest_side / max(strip, min(width, height)) if strip else scale_for(width, height, longest_side)
    scale = min(scale, largest_scale)
    if strip and min(width, height) * scale < _LOWEST_LINE:
        raise RefusedError("illegible", f"{measures}, which is too narrow for a line of print")
    draw, tall = drawing(scale), height > width
    if strip is None:
        return [Strip(draw(None))], scale
    return list(_strips(size, draw, taken(scale, tall), scale, round(strip * scale))), scale


def _strips(size: tuple[float, float], draw: Draw, taken: Sequence[int], scale: float, strip: int) -> Iterator[Strip]:
    width, height = size
    tall = height > width

    def part(start: int, end: int) -> Image.Image:
        first, last = start / scale, end / scale
        return draw((0, first, width, last) if tall else (first, 0, last, height))

    return islice(cut(part, taken, strip, scale, tall=tall), 2 * MOST_STRIPS)


def packed(
    strips: Sequence[Strip],
    inks: Sequence[float],
    scale: float,
    size: tuple[float, float],
    flags: Sequence[tuple[str, str]],
) -> tuple[dict[str, Any], list[bytes]]:
    """Return the header of a page's response, and the PNG of the page, or of each of its strips.

    Args:
        strips: the page's images.
        inks: of each, the part of its pixels that stand out.
        scale: in pixels per point.
        size: of the page, in points.
        flags: names and details.
    """
    pngs = [png_of(strip.image) for strip in strips]
    images = [
        {
            **{"size": len(png), "width": strip.image.width, "height": strip.image.height},
            **{"ink": ink, "clean": strip.clean, "overlap": strip.overlap},
        }
        for png, strip, ink in zip(pngs, strips, inks, strict=True)
    ]
    measures = {"width": round(size[0] * scale), "height": round(size[1] * scale)}
    return {"dpi": scale * 72, **measures, "images": images, "flags": flags}, pngs


def sentence_of(messages: list[str]) -> str:
    """Return messages of libraries, each once, as one printable line."""
    text = "; ".join(dict.fromkeys(" ".join(message.split()) for message in messages if message))
    return "".join(filter(str.isprintable, text))[:_LONGEST_SENTENCE]
