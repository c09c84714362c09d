"""What a client calls its document: sent by strangers, shown to people, and the name of a file here."""

from __future__ import annotations

import re
import unicodedata

from tasks.core.visible import encodable, visible_line

_ENDING = ".pdf"
_BYTES = 180
"""File systems allow 255 a name, and what is made of this one gets longer."""


def safe_filename(text: str | None) -> str | None:
    """Return a client's file name as one that may be a file's here; None if nothing is left of it.

    Directories before it are cut off, characters that nobody sees are spelled out, and it ends in .pdf once.
    """
    name = re.split(r"[/\\]", text or "")[-1]
    name = unicodedata.normalize("NFC", visible_line(encodable(name))).replace("\\", "")
    stem = name[: -len(_ENDING)] if name.lower().endswith(_ENDING) else name
    stem = stem.strip(". ").encode()[:_BYTES].decode(errors="ignore").rstrip(". ")
    return f"{stem}{_ENDING}" if stem else None
