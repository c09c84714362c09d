"""Checks and decoding of images before an engine reads them. Unreadable images raise an ImageError."""

import io
import math
from dataclasses import dataclass

from PIL import Image, ImageOps

from tasks.embedded.errors import ImageError

FORMATS = ("JPEG", "PNG", "WEBP")
MAX_PIXELS = 80_000_000
"""An A3 page at 600 DPI has 70 million. Pillow itself warns only above this."""

PATCH = 28
"""Side in pixels of the square that counts as one prompt token, as in Qwen2.5-VL."""


@dataclass(frozen=True, slots=True)
class PageImage:
    """An image whose header has been checked; the pixels are still encoded."""

    data: bytes
    width: int
    height: int

    @property
    def patches(self) -> int:
        """The number of prompt tokens."""
        return math.ceil(self.width / PATCH) * math.ceil(self.height / PATCH)


def inspect(data: bytes) -> PageImage:
    """Check format and dimensions from the header, without decoding the pixels."""
    with _open(data) as image:
        return PageImage(data, *image.size)


def decode_grey(data: bytes) -> Image.Image:
    """Decode to 8-bit grey: transparency on white, and turned by the EXIF orientation."""
    with _open(data) as image:
        try:
            page = ImageOps.exif_transpose(image)
            if page.has_transparency_data:
                page = page.convert("RGBA")
                page = Image.alpha_composite(Image.new("RGBA", page.size, "white"), page)
            if page.mode.startswith("I"):  # sixteen bits a pixel, which Pillow would clip and not scale
                page = page.convert("I").point(lambda value: value / 256)
            return page.convert("L")
        except (OSError, ValueError, SyntaxError, MemoryError) as error:
            raise ImageError("damaged image") from error


def _open(data: bytes) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError("not a JPEG, PNG or WebP image") from error
    if image.width * image.height > MAX_PIXELS:
        raise ImageError(f"image of {image.width} x {image.height} pixels is too large")
    return image
