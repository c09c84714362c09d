"""MuPDF's messages about a page while it draws it, from which damage is recognized."""

import re

import pymupdf

_MOST = 3
_LONGEST = 160

# Messages about pages on which nothing visible is missing: fonts measured and mapped, colours converted, links and
# structure followed, and errors that every viewer forgives. Every other message counts as damage.
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
# A repetition of the message before, which may have been about another page.
_REPEATED = re.compile(r"\.\.\. repeated \d+ times")
_LACKED_MEMORY = re.compile(r"\b[mc]?(re)?alloc\b.*failed|out of memory|bad_alloc", re.IGNORECASE)
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]+")


def quiet() -> None:
    """Keep MuPDF from printing its messages."""
    pymupdf.TOOLS.mupdf_display_errors(False)  # noqa: FBT003 - the library's signature
    pymupdf.TOOLS.mupdf_display_warnings(False)  # noqa: FBT003 - the library's signature


def forget() -> None:
    """Discard the messages so far."""
    pymupdf.TOOLS.mupdf_warnings()


def damages() -> list[str]:
    """Return and discard the messages about damage: each once, the first few, in ASCII."""
    messages = pymupdf.TOOLS.mupdf_warnings().splitlines()
    damaged = (line for line in messages if not _REPEATED.match(line) and not _HARMLESS.search(line))
    return [_UNPRINTABLE.sub("?", line)[:_LONGEST] for line in list(dict.fromkeys(damaged))[:_MOST]]


def lacks_memory(error: BaseException | None = None) -> bool:
    """Return whether memory was lacking, by an error or by the messages since they were discarded."""
    messages = [pymupdf.TOOLS.mupdf_warnings()]
    while error is not None:
        messages.append("out of memory" if isinstance(error, MemoryError) else str(error))
        error = error.__cause__ or error.__context__
    return any(map(_LACKED_MEMORY.search, messages))
