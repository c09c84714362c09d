"""Pictures of all colours and orientations as upright grey or RGB, and their resolution."""

from typing import Any

from PIL import Image, ImageOps

from tasks.documents.sandbox.page_images import RefusedError

_ORIENTATION = 274
_SIDES_EXCHANGED = {5, 6, 7, 8}
# Resolutions that scanners have. Programs write lower ones, such as 72 and 96, where they know none.
_LOWEST_DPI, _HIGHEST_DPI = 100.0, 2400.0
# Without a resolution a picture is taken for a page of A4's width, in points.
_ASSUMED_WIDTH = 595.0

Resolution = tuple[float, float]
"""Pixels per inch, across and down: those of a fax differ."""
_MOST_STRETCHED = 2.5


def upright(picture: Image.Image) -> tuple[Image.Image, bool]:
    """Return a picture, turned by its EXIF orientation, and whether its sides are exchanged.

    It is returned as it is if its EXIF data cannot be understood.
    """
    try:
        orientation = picture.getexif().get(_ORIENTATION)
        return ImageOps.exif_transpose(picture), orientation in _SIDES_EXCHANGED
    except Exception:  # noqa: BLE001 - Pillow raises many kinds for garbage
        return picture, False


def plain(picture: Image.Image) -> Image.Image:
    """Return a picture as grey or RGB of eight bits a channel, transparency on white.

    Raises:
        RefusedError: its colours are not supported.
    """
    if picture.has_transparency_data:
        picture = picture if picture.mode in {"RGBA", "LA"} else picture.convert("RGBA")
        opaque = Image.new("L" if picture.mode == "LA" else "RGB", picture.size, "white")
        opaque.paste(picture.convert(opaque.mode), mask=picture.getchannel("A"))
        return opaque
    if picture.mode.startswith(("I", "F")):
        return _from_deep(picture)
    if picture.mode in {"L", "1"}:
        return picture.convert("L")
    if picture.mode == "LAB":
        raise RefusedError("render", "its colours (L*a*b*) are not supported. Convert it to RGB")
    return picture.convert("RGB")


def _from_deep(picture: Image.Image) -> Image.Image:
    """Return a grey picture of more than eight bits, which Pillow would clip, with eight."""
    wide = picture.convert("F")
    extrema: Any = wide.getextrema()  # its type allows for several channels
    lowest, highest = extrema
    whole = picture.mode.startswith("I") and lowest >= 0
    # Of 12 bits in 16, white is 4095.
    first, span = (0.0, 2.0 ** int(highest).bit_length()) if whole else (lowest, (highest - lowest) * 256 / 255)
    scale = 256 / span if span > 0 else 0.0
    return wide.point(lambda value: value * scale - first * scale).convert("L")


def dpi_of(picture: Image.Image) -> Resolution:
    """Return a picture's resolution if it states one that scanners have; otherwise one that makes it a page of A4."""
    try:
        across, down = map(float, picture.info.get("dpi", (0, 0)))
    except (TypeError, ValueError, ZeroDivisionError):
        across = down = 0.0
    low, high = sorted((across, down))
    if high >= _LOWEST_DPI and high <= min(_HIGHEST_DPI, low * _MOST_STRETCHED):
        return across, down
    assumed = min(picture.size) * 72 / _ASSUMED_WIDTH
    return assumed, assumed
