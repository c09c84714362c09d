"""What MuPDF says of a page while it draws it: nothing of a sound one, and how it is damaged of another."""

from __future__ import annotations

import re

import pymupdf

_MOST = 3
_LONGEST = 160

# Said of pages on which nothing that can be seen is missing: how fonts are measured and mapped, colours converted,
# links and structure followed, and what every viewer forgives. Whatever else is said counts as damage.
_HARMLESS = re.compile(
    r"cmap|codespace|code space|cid collection|cidsysteminfo|cidtogidmap|tounicode|s22pdf"
    r"|bogus font|ascent/descent|guessing type|non-embedded font|not allowed to embed|get_advance|glyph.name"
    r"|\bicc\b|lcms|output intent|fast color conversion|spots dropped|transfer function|too many components"
    r"|color.?space|color incompatible|color key|numcomps|\bfunction\b|separation|devicen"
    r"|link|file specification|date format|invalid date|date overflow|outline|name tree|structure"
    r"|optional content|marked content|output may be|type3 glyph"
    r"|gstate underflow|popped too many|no current point|zombie|ctm change|edge flag"
    r"|line feed missing|expected 'endobj'|missing 'endobj'|stream length incorrect|bad parent|name is too long"
    r"|duplicate|unclosed|doesn't start with eol|invalid generation number"
    r"|(jbig2dec|openjpeg) (info|debug)"
    r"|repair|rebuild|startxref|broken xref"
    r"|claims to have \d+ pages",
    re.IGNORECASE,
)
# Said a second time of what was said just before, which may have been of another page.
_REPEATED = re.compile(r"\.\.\. repeated \d+ times")
_LACKED_MEMORY = re.compile(r"\b[mc]?(re)?alloc\b.*failed|out of memory|bad_alloc", re.IGNORECASE)
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]+")


def quiet() -> None:
    """Keep MuPDF from printing what it says."""
    pymupdf.TOOLS.mupdf_display_errors(False)  # noqa: FBT003 - the library's signature
    pymupdf.TOOLS.mupdf_display_warnings(False)  # noqa: FBT003 - the library's signature


def forget() -> None:
    """Begin anew: what was said before is not of what comes."""
    pymupdf.TOOLS.mupdf_warnings()


def damages() -> list[str]:
    """What was said of damage since it was forgotten or asked for last: each thing once, the first few, in ASCII."""
    said = pymupdf.TOOLS.mupdf_warnings().splitlines()
    found = (line for line in said if not _REPEATED.match(line) and not _HARMLESS.search(line))
    return [_UNPRINTABLE.sub("?", line)[:_LONGEST] for line in list(dict.fromkeys(found))[:_MOST]]


def lacks_memory(error: BaseException | None = None) -> bool:
    """Whether more memory was asked for than there is: an error says so, or what was said since it was forgotten."""
    said = [pymupdf.TOOLS.mupdf_warnings()]
    while error is not None:
        said.append("out of memory" if isinstance(error, MemoryError) else str(error))
        error = error.__cause__ or error.__context__
    return any(map(_LACKED_MEMORY.search, said))
