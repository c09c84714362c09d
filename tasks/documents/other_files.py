"""Files that are not read: what they are by their content, and what a person can do with them."""

import re
from dataclasses import dataclass
from pathlib import Path

from tasks.core.document_kinds import HEAD_BYTES, PICTURE_NAMES

_TAIL_BYTES = 2**16
_TO_PDF = "Export it as PDF, for example with: libreoffice --headless --convert-to pdf FILE."
_PRINT = "Print it to a PDF from a browser."
_UNPACK = "Unpack it, and read the documents in it."


@dataclass(frozen=True)
class _Other:
    """A kind of files that are not read.

    Attributes:
        what: it is, with its article.
        advice: what to do.
        mark: matches the beginning of its files.
        within: is somewhere in the first kilobyte or the last 64; a container's list of files is at its end.
    """

    what: str
    advice: str
    mark: bytes
    within: bytes = b""

    def matches(self, head: bytes, tail: bytes) -> bool:
        return re.match(self.mark, head, re.DOTALL | re.IGNORECASE) is not None and (
            self.within in head or self.within in tail
        )


_ZIP, _OLE, _FTYP = rb"PK\x03\x04", rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", rb".{4}ftyp"
_XML = rb"(\xef\xbb\xbf)?\s*<(\?xml|!--|!doctype svg|svg)"
# The first that matches names the file.
_OTHERS = (
    _Other("a Word document", _TO_PDF, _ZIP, b"word/document"),
    _Other("an Excel workbook", _TO_PDF, _ZIP, b"xl/workbook"),
    _Other("a PowerPoint presentation", _TO_PDF, _ZIP, b"ppt/presentation"),
    _Other("an OpenDocument file", _TO_PDF, _ZIP, b"mimetypeapplication/vnd.oasis.opendocument"),
    _Other("an EPUB book", "Convert it: ebook-convert FILE FILE.pdf.", _ZIP, b"mimetypeapplication/epub"),
    _Other("a ZIP archive", _UNPACK, rb"PK(\x03\x04|\x05\x06)"),
    _Other(
        "an encrypted Office document",
        "Remove its password, and export it as PDF.",
        _OLE,
        "EncryptedPackage".encode("utf-16-le"),
    ),
    _Other("an Office document", _TO_PDF, _OLE),
    _Other("an RTF document", _TO_PDF, rb"\{\\rtf"),
    _Other("a HEIC picture", "Convert it: heif-convert FILE FILE.jpg.", rb".{4}ftyp(hei|hev|mif1|msf1)"),
    _Other("an AVIF picture", "Convert it: avifdec FILE FILE.png.", rb".{4}ftypavi"),
    _Other("a video", "Name a document.", _FTYP),
    _Other("a GIF picture", "Convert it: magick FILE[0] FILE.png.", rb"GIF8[79]a"),
    _Other("a BMP picture", "Convert it: magick FILE FILE.png.", rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0"),
    _Other(
        "a JPEG 2000 picture",
        "Convert it: opj_decompress -i FILE -o FILE.png.",
        rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51",
    ),
    _Other("a JPEG XL picture", "Convert it: djxl FILE FILE.png.", rb"\xff\x0a|\0\0\0\x0cJXL "),
    _Other("a DjVu document", "Convert it: ddjvu -format=pdf FILE FILE.pdf.", rb"AT&TFORM"),
    _Other("a PostScript document", "Convert it: ps2pdf FILE FILE.pdf.", rb"\x04?%!PS"),
    _Other("an SVG drawing", "Convert it: rsvg-convert -f pdf -o FILE.pdf FILE.", _XML, b"<svg"),
    _Other("a web page", _PRINT, rb"(\xef\xbb\xbf)?\s*(<(!doctype html|html|head|body)|(<\?xml|<!--).{0,1000}<html)"),
    _Other("an XML file", _TO_PDF, rb"(\xef\xbb\xbf)?\s*<\?xml"),
    _Other("an archive", _UNPACK, rb"\x1f\x8b|7z\xbc\xaf\x27\x1c|Rar!\x1a\x07|BZh|\xfd7zXZ\0|\x28\xb5\x2f\xfd"),
)
_REFUSED = f"is not a PDF or picture ({PICTURE_NAMES})"
_CONTROL = re.compile(rb"[\0-\x08\x0e-\x1a\x1c-\x1f\x7f]")


def describe_other(path: Path, head: bytes) -> str:
    """Return that a file is not read, what it is, and what to do: the end of a sentence that begins with its name.

    Args:
        path: the file.
        head: its first `HEAD_BYTES`.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, 2) - _TAIL_BYTES))
        tail = file.read(_TAIL_BYTES)
    other = next((other for other in _OTHERS if other.matches(head, tail)), None)
    if other is not None:
        return f"{_REFUSED}, but {other.what}. {other.advice}"
    return f"{_REFUSED}{', but text, which needs no reading' if head and _is_text(head) else ''}. Name a document."


def _is_text(head: bytes) -> bool:
    if _CONTROL.search(head):
        return False
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return len(head) == HEAD_BYTES and error.start > HEAD_BYTES - 4  # a character is cut there
    return True
