"""Pictures as documents, good and bad. Every maker returns the path that it was given."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

from PIL import Image, TiffImagePlugin

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".tif": "TIFF", ".webp": "WEBP"}


def corner(width: int = 400, height: int = 200) -> Image.Image:
    """White, and black in its upper left quarter."""
    image = Image.new("RGB", (width, height), "white")
    image.paste((0, 0, 0), (0, 0, width // 2, height // 2))
    return image


def stored(path: Path, image: Image.Image | None = None, **how: Any) -> Path:
    """The picture in the format of its suffix; `corner` if none is given."""
    (image or corner()).save(path, FORMATS[path.suffix], **how)
    return path


def as_camera_held_it(path: Path, orientation: int) -> Path:
    """`corner`, stored so that its EXIF orientation (1 to 8) makes it upright again."""
    undo = {
        **{2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM},
        **{5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE},
        8: Image.Transpose.ROTATE_270,
    }
    image = corner().transpose(undo[orientation]) if orientation in undo else corner()
    if path.suffix == ".tif":
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags[274] = orientation
        return stored(path, image, tiffinfo=tags)
    exif = Image.Exif()
    exif[274] = orientation
    return stored(path, image, exif=exif)


def pages(path: Path, count: int, **how: Any) -> Path:
    """A TIFF with pages that differ in their width."""
    first, *others = [corner(200 + 20 * at, 100) for at in range(count)]
    return stored(path, first, save_all=True, append_images=others, **how)


def directories(path: Path, count: int, *, last: int = 0) -> Path:
    """A TIFF of many equal pages of one pixel, of a few bytes each. The last one points to `last` as the next one."""
    fields = [(256, 1), (257, 1), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, 1), (279, 1)]
    size, first = 2 + 12 * len(fields) + 4, 10
    data = bytearray(b"II*\0" + struct.pack("<I", first) + b"\x80\0")
    for at in range(count):
        following = first + (at + 1) * size if at + 1 < count else last
        entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in fields)
        data += struct.pack("<H", len(fields)) + entries + struct.pack("<I", following)
    path.write_bytes(data)
    return path


def huge_png(path: Path, width: int = 60_000, height: int = 60_000) -> Path:
    """A PNG of a few kilobytes whose header tells of billions of pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(10**6)))
        + chunk(b"IEND", b"")
    )
    return path


def lying_jpeg(path: Path, width: int, height: int) -> Path:
    """A JPEG of a small picture whose header tells of another size."""
    made = io.BytesIO()
    corner().save(made, "JPEG")
    data = bytearray(made.getvalue())
    frame = data.find(b"\xff\xc0")
    struct.pack_into(">HH", data, frame + 5, height, width)
    path.write_bytes(data)
    return path


def cut(path: Path, part: float = 0.5) -> Path:
    """The file without its end."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    return path
