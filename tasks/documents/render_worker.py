"""A process that renders the pages of one PDF: `python -m tasks.documents.render_worker`, spoken to over its pipes.

It is a process of its own so that a page which crashes MuPDF, hangs it or eats the memory costs that
page and not the run, and so that rendering does not hold the interpreter that keeps the slots busy.

The first line on stdin is {"path", "password", "image_megapixels", "memory_mb"}; each further line is
{"page", "longest_side"}, answered by a line {"size", "width", "height", "dpi", "ink"} and `size` bytes of
PNG, or by a line {"error"}.
"""

from __future__ import annotations

import json
import math
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import pymupdf
from PIL import Image, ImageChops

# Beyond this ratio of its sides a page gets the pixels that a page of this ratio would get, so that a long
# receipt stays legible.
_LONGEST_RATIO = 4.0
_STORE_PAGES = 16
_REOPEN_PAGES = 500
_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_COLOURS = {"L": 0, "RGB": 2}

_GLANCE = 1 / 8
# Channels that differ by less, of 255, are grey that was converted.
_GREY = 8


def scale_for(width: float, height: float, longest_side: int) -> float:
    """Pixels a point, so that the longest side has `longest_side` pixels.

    Args:
        width: of the page, in points.
        height: of the page, in points.
        longest_side: in pixels.
    """
    long, short = max(width, height), min(width, height)
    excess = max(1.0, long / short / _LONGEST_RATIO)
    return longest_side / long * math.sqrt(excess)


def ink_fraction(image: Image.Image) -> float:
    """How much is on a page image: 0 only if every pixel is alike.

    Returns:
        The part of the pixels, 0 to 1, that stand out from the most common shade by a quarter of the scale; at
        least one pixel's part if any differs.
    """
    # Pixmap.is_unicolor would say it, too, but looks at each pixel from Python: 4 s for a blank page.
    if image.getcolors(maxcolors=1) is not None:
        return 0.0
    histogram = image.convert("L").histogram()
    background = max(range(256), key=histogram.__getitem__)
    marked = sum(count for shade, count in enumerate(histogram) if abs(shade - background) > 64)
    return max(marked, 1) / sum(histogram)


def has_colour(image: Image.Image) -> bool:
    """Whether any pixel of an RGB image is other than grey."""
    red, green, blue = image.split()
    apart = (ImageChops.difference(red, other).histogram() for other in (green, blue))
    return any(any(histogram[_GREY:]) for histogram in apart)


def png_of(image: Image.Image) -> bytes:
    """The PNG of a grey or RGB image: rows as they are, compressed lightly.

    18 pages of 14 PDFs took 194 ms so and 371 ms with Pillow's encoder, which tries five filters on every row; the
    files are 2 % larger.
    """
    rows = image.tobytes()
    stride = image.width * len(image.getbands())
    # Each row begins with its filter: none.
    packed = zlib.compress(b"".join([b"\0" + rows[at : at + stride] for at in range(0, len(rows), stride)]), 1)
    colours = _PNG_COLOURS[image.mode]
    header = struct.pack(">IIBBBBB", image.width, image.height, 8, colours, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", packed), (b"IEND", b""))
    return _PNG_START + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))
        for kind, data in chunks
    )


def _image(drawn: pymupdf.DisplayList, scale: float, mode: str) -> Image.Image:
    colours = pymupdf.csRGB if mode == "RGB" else pymupdf.csGRAY
    pixmap = drawn.get_pixmap(matrix=pymupdf.Matrix(scale, scale), colorspace=colours, alpha=False)
    if pixmap.width < 1 or pixmap.height < 1:
        raise ValueError("it has no area")
    return Image.frombytes(mode, (pixmap.width, pixmap.height), pixmap.samples)


def render(
    pdf: pymupdf.Document, number: int, longest_side: int, image_megapixels: int
) -> tuple[dict[str, Any], bytes]:
    """Render one page, turned as the PDF says, on white.

    Args:
        pdf: an open pymupdf document.
        number: the page, counted from 1.
        longest_side: of the image, in pixels.
        image_megapixels: the largest picture on the page that is decoded.

    Returns:
        The header of the answer, and the PNG.

    Raises:
        ValueError: the page has no area, or a picture on it is over the limit.
    """
    page = pdf[number - 1]
    for _, _, width, height, *_ in page.get_images(full=True):
        if width * height > image_megapixels * 1_000_000:
            raise ValueError(
                f"a picture on it has {width} x {height} pixels; the limit is {image_megapixels} megapixels"
            )
    if page.rect.is_empty or page.rect.is_infinite:
        raise ValueError("it has no area")
    scale = scale_for(page.rect.width, page.rect.height, longest_side)
    drawn = page.get_displaylist()
    # A small drawing tells whether the page has colour; a grey image takes half the time of one in RGB throughout.
    mode = "RGB" if has_colour(_image(drawn, scale * _GLANCE, "RGB")) else "L"
    image = _image(drawn, scale, mode)
    png = png_of(image)
    header = {"size": len(png), "width": image.width, "height": image.height, "dpi": scale * 72}
    header["ink"] = ink_fraction(image)
    return header, png


def opened(opening: dict[str, Any]) -> pymupdf.Document:
    """The PDF that the first line names."""
    pdf = pymupdf.open(opening["path"], filetype="pdf")
    if pdf.needs_pass:
        pdf.authenticate(opening["password"])
    return pdf


def version_of(path: str) -> tuple[int, int, int] | None:
    """What changes when a file is replaced or written to; None if it is gone."""
    try:
        facts = Path(path).stat()
    except OSError:
        return None
    return facts.st_ino, facts.st_size, facts.st_mtime_ns


def limit_memory(megabytes: int) -> None:
    """Cap this process's address space, where the system can."""
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (megabytes * 1_000_000, megabytes * 1_000_000))


def main() -> None:
    """Serve until stdin ends."""
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    # Whatever a library prints must not get between the answers.
    sys.stdout = sys.stderr
    pymupdf.TOOLS.mupdf_display_errors(False)  # noqa: FBT003 - the library's signature
    pymupdf.TOOLS.mupdf_display_warnings(False)  # noqa: FBT003 - the library's signature
    opening = json.loads(requests.readline())
    limit_memory(opening["memory_mb"])
    pdf, version = opened(opening), version_of(opening["path"])
    for served, line in enumerate(iter(requests.readline, b""), 1):
        request = json.loads(line)
        try:
            header, png = render(pdf, request["page"], request["longest_side"], opening["image_megapixels"])
        except MemoryError:
            header, png = {"error": "it needs more memory than HEARTH_LIMITS__RENDER_MEMORY_MB allows"}, b""
        except Exception as error:  # noqa: BLE001 - MuPDF raises many kinds; the page fails and says why
            header, png = {"error": str(error).strip().splitlines()[0] if str(error) else type(error).__name__}, b""
        answers.write(json.dumps(header).encode() + b"\n" + png)
        answers.flush()
        # MuPDF keeps what it decoded, up to 256 MB: fonts serve the next pages as well, scans do not.
        if served % _STORE_PAGES == 0:
            pymupdf.TOOLS.store_shrink(100)
        # And every object of the file that it has seen, 1 kB a page or more. A file that was replaced is read on.
        if served % _REOPEN_PAGES == 0 and version_of(opening["path"]) == version:
            pdf.close()
            pdf = opened(opening)


if __name__ == "__main__":
    main()
