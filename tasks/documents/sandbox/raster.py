"""Drawing of pages as grey or RGB images, and as PNG files."""

import math
from collections.abc import Sequence

import pymupdf
from PIL import Image, ImageChops

from tasks.documents import png

# A page with a larger ratio of its sides gets as many pixels as a page of this ratio.
_LONGEST_RATIO = 4.0

_GLANCE = 1 / 8
# Channels that differ by less, of 255, are converted grey.
_GREY = 8
_INK = 64


def scale_for(width: float, height: float, longest_side: int) -> float:
    """Return the pixels per point with which a page's longest side has `longest_side` pixels.

    Args:
        width: in points.
        height: in points.
        longest_side: in pixels.
    """
    long, short = max(width, height), min(width, height)
    excess = max(1.0, long / short / _LONGEST_RATIO)
    return longest_side / long * math.sqrt(excess)


def ink_fraction(image: Image.Image) -> float:
    """Return the part of an image's pixels, 0 to 1, that differ from the most common shade by a quarter of the scale.

    It is 0 only if all pixels are equal, and at least one pixel's part otherwise.
    """
    histogram = (image if image.mode == "L" else image.convert("L")).histogram()
    # Pixmap.is_unicolor loops over the pixels in Python: 4 s for a blank page.
    if max(histogram) == sum(histogram) and (image.mode == "L" or image.getcolors(maxcolors=1) is not None):
        return 0.0
    background = _most_common(histogram)
    ink = sum(pixels for shade, pixels in enumerate(histogram) if abs(shade - background) > _INK)
    return max(ink, 1) / sum(histogram)


def ink_of(image: Image.Image) -> Image.Image:
    """Return an image that is white where a pixel differs from the most common shade by a quarter of the scale."""
    grey = image.convert("L")
    background = _most_common(grey.histogram())
    return grey.point([255 if abs(shade - background) > _INK else 0 for shade in range(256)])


def _most_common(histogram: Sequence[int]) -> int:
    return max(range(256), key=histogram.__getitem__)


def has_colour(image: Image.Image) -> bool:
    """Return whether any pixel of an RGB image is not grey."""
    red, green, blue = image.split()
    histograms = (ImageChops.difference(red, other).histogram() for other in (green, blue))
    return any(any(histogram[_GREY:]) for histogram in histograms)


def png_of(image: Image.Image) -> bytes:
    """Return the PNG of a grey or RGB image."""
    return png.encoded(image.tobytes(), image.width, image.height, len(image.getbands()))


class Drawing:
    """An interpreted page that is drawn at one scale, whole or in parts.

    Args:
        page: a pymupdf page.
        scale: in pixels per point.
    """

    def __init__(self, page: pymupdf.Page, scale: float) -> None:
        self._drawn = page.get_displaylist()
        # A small drawing shows whether the page has colour: a grey image takes half the time of RGB in every step.
        glance = self._image(scale * _GLANCE, "RGB", None)
        self._mode = "RGB" if has_colour(glance) else "L"
        self._scale = scale

    def image(self, clip: tuple[float, float, float, float] | None = None) -> Image.Image:
        """Draw the page, or the part within a clip of left, top, right and bottom, in pixels."""
        return self._image(self._scale, self._mode, clip)

    def _image(self, scale: float, mode: str, clip: tuple[float, float, float, float] | None) -> Image.Image:
        colours = pymupdf.csRGB if mode == "RGB" else pymupdf.csGRAY
        matrix = pymupdf.Matrix(scale, scale)
        pixmap = self._drawn.get_pixmap(matrix=matrix, colorspace=colours, alpha=False, clip=clip)
        if pixmap.width < 1 or pixmap.height < 1:
            raise ValueError("it has no area")
        return Image.frombytes(mode, (pixmap.width, pixmap.height), pixmap.samples)


def taken_pixels(page: pymupdf.Page, scale: float, *, tall: bool) -> bytearray:
    """Return which pixels along a page's length have words or pictures; all of them if it has no text layer."""
    length = round((page.rect.height if tall else page.rect.width) * scale)
    words = [word[:4] for word in page.get_text("words")]
    pictures = [picture["bbox"] for picture in page.get_image_info()]
    taken = bytearray(length) if words else bytearray(b"\1") * length
    for box in (*words, *pictures):
        rect = pymupdf.Rect(box) * page.rotation_matrix
        first, last = (rect.y0, rect.y1) if tall else (rect.x0, rect.x1)
        start, end = max(0, int(first * scale)), min(length, math.ceil(last * scale))
        taken[start:end] = b"\1" * max(0, end - start)
    return taken
