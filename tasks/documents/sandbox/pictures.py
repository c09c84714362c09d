"""An open picture (PNG, JPEG, TIFF, WebP) in the sandboxed process: its facts, and its pages as images.

Pillow decodes it. MuPDF, which draws PDFs, reads no WebP, obeys the EXIF orientation in JPEG alone, and lacks some of
TIFF's compressions.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from PIL import Image, ImageFile, TiffImagePlugin

from tasks.documents.sandbox.page_images import Clip, Draw, Limits, RefusedError, drawn, packed, sentence_of
from tasks.documents.sandbox.picture_pixels import Resolution, dpi_of, plain, upright
from tasks.documents.sandbox.raster import has_colour, ink_fraction
from tasks.documents.sandbox.stream_checks import damage
from tasks.documents.sandbox.upright import NOTHING, Asked, put_upright

_SUBFILE = 254
# Of TIFF's kinds of subfiles: a smaller copy of another page, and its mask.
_NO_PAGE = 0b101
# More pixels than this per pixel of the picture show no more of it.
_LARGEST_ENLARGEMENT = 2.0
_GLANCE = 1 / 8

_TOO_MUCH = "it has {0} x {1} pixels; the limit is {2} megapixels"

# The sandboxed process limits the pixels itself (`Limits`), and its memory.
Image.MAX_IMAGE_PIXELS = None


class PictureRenderer:
    """Renders the pages of one picture.

    Args:
        descriptor: of its file, which stays open.
        kind: Pillow's name of the format.
        limits: of pages and pixels.

    Raises:
        RefusedError: it cannot be opened, or a part of its list of pages is missing.
    """

    def __init__(self, descriptor: int, kind: str, limits: Limits) -> None:
        self._limits = limits
        self._file: BinaryIO = open(descriptor, "rb", closefd=False)  # noqa: SIM115 - closed by `close`
        self._kind = kind.upper()
        self._picture = self._opened()
        self._frames = list(_frames(self._picture, limits.pages))

    def close(self) -> None:
        """Close the picture."""
        self._picture.close()
        self._file.close()

    def reopen(self) -> None:
        """Do nothing: a picture leaves no memory behind."""

    def facts(self) -> dict[str, Any]:
        """Return the facts that decide whether the document is read."""
        pages = len(self._frames)
        return {
            **{"pages": pages, "declared": pages, "repaired": False},
            **{"portfolio": False, "files": [], "more_files": 0},
        }

    def render(self, number: int, longest_side: int, asked: Asked = NOTHING) -> tuple[dict[str, Any], list[bytes]]:
        """Render a page on white, turned by its EXIF orientation, and put it upright.

        The arguments, the result and the errors are those of `PageRenderer.render`.
        """
        picture, dpi, flags = self._decoded(self._frames[number - 1])
        width, height = picture.width * 72 / dpi[0], picture.height * 72 / dpi[1]
        pictures = [picture]
        del picture  # the drawing may replace it by a smaller one

        def drawing(scale: float) -> Draw:
            return _Drawing(pictures.pop(), dpi, scale).image

        def no_words(scale: float, tall: bool) -> bytearray:  # noqa: FBT001 - as `drawn` calls it
            return bytearray(b"\1") * round((height if tall else width) * scale)

        largest = _LARGEST_ENLARGEMENT * min(dpi) / 72
        strips, scale = drawn((width, height), longest_side, drawing, no_words, largest)
        strips, done = put_upright(strips, asked, lambda: None, is_scan=True)
        inks = [ink_fraction(strip.image) for strip in strips]
        if not any(inks) and any(name == "damaged" for name, _ in flags):
            raise RefusedError("damaged", "nothing on it can be decoded")
        header, pngs = packed(strips, inks, scale, (width, height), flags)
        return {**header, **done}, pngs

    def _opened(self) -> ImageFile.ImageFile:
        self._file.seek(0)
        return Image.open(self._file, formats=[self._kind])

    def _decoded(self, frame: int) -> tuple[Image.Image, Resolution, list[tuple[str, str]]]:
        """Return a page upright, as grey or RGB, its resolution and flags; what a damaged one lacks is of one shade."""
        self._picture.seek(frame)
        if self._picture.width * self._picture.height > self._limits.image_megapixels * 1_000_000:
            raise RefusedError("size", _TOO_MUCH.format(*self._picture.size, self._limits.image_megapixels))
        flags: list[tuple[str, str]] = []
        if self._kind != "TIFF" and getattr(self._picture, "is_animated", False) and self._picture.format != "MPO":
            flags.append(("undecoded", "It is an animation, of which only the first picture was read."))
        if self._kind == "JPEG" and (hole := self._hole()):
            flags.append(("damaged", f"Part of it could not be decoded: {hole}."))
        try:
            self._picture.load()
        except (OSError, SyntaxError, ValueError, IndexError) as error:
            flags.append(("damaged", f"Part of it could not be decoded: {sentence_of([str(error)])}."))
            self._picture = self._opened()  # its decoder has ended
            self._picture.seek(frame)
            with _incomplete_pictures():
                self._picture.load()
        picture, on_its_side = upright(self._picture)
        dpi = dpi_of(self._picture)
        return plain(picture), dpi[::-1] if on_its_side else dpi, flags

    def _hole(self) -> str | None:
        self._file.seek(0)
        return damage(self._file.read(), "DCTDecode", instructions=False)


@contextmanager
def _incomplete_pictures() -> Iterator[None]:
    """Have Pillow decode as much as there is."""
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = False


def _frames(picture: ImageFile.ImageFile, most: int) -> Iterator[int]:
    """Yield the positions of the pages; of an animation, and of a camera's previews, the first alone.

    Raises:
        RefusedError: the list of a TIFF's pages is cut off, or leads back to a page before.
    """
    if not isinstance(picture, TiffImagePlugin.TiffImageFile):
        yield 0
        return
    pages, following = 0, 0
    for frame in range(2 * most):
        try:
            picture.seek(frame)
        except EOFError:
            if following:  # Pillow ends the list where it begins anew
                raise RefusedError("damaged", "its list of pages leads back to a page before") from None
            return
        except Exception as error:
            raise RefusedError("incomplete", f"page {pages + 1} is missing") from error
        if not (pages and _is_copy(picture)):
            yield frame
            pages += 1
        following = picture.tag_v2.next
        if pages > most:
            return


def _is_copy(picture: TiffImagePlugin.TiffImageFile) -> bool:
    kind = picture.tag_v2.get(_SUBFILE, 0)
    return isinstance(kind, int) and bool(kind & _NO_PAGE)


class _Drawing:
    """A picture that is drawn at one scale, whole or in parts.

    Args:
        picture: grey or RGB.
        dpi: its resolution.
        scale: pixels of the drawing per point.
    """

    def __init__(self, picture: Image.Image, dpi: Resolution, scale: float) -> None:
        self._across, self._down = dpi[0] / 72, dpi[1] / 72
        self._scale = scale
        if picture.mode == "RGB":
            glance = picture.reduce(max(1, int(min(self._across, self._down) / scale / _GLANCE)))
            picture = picture if has_colour(glance) else picture.convert("L")
        self._picture = picture

    def image(self, clip: Clip | None) -> Image.Image:
        """Draw the picture, or the part within a clip."""
        width, height = self._picture.size
        left, top, right, bottom = clip or (0.0, 0.0, width / self._across, height / self._down)
        size = (round((right - left) * self._scale), round((bottom - top) * self._scale))
        if min(size) < 1:
            raise RefusedError("illegible", f"it has {width} x {height} pixels, too few for a line of print")
        if size == self._picture.size:
            return self._picture
        corner = (min(right * self._across, width), min(bottom * self._down, height))
        box = (left * self._across, top * self._down, *corner)
        return self._picture.resize(size, Image.Resampling.BICUBIC, box, reducing_gap=3.0)
