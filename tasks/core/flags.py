"""Flags: what a person should know of a page, or of a document, that was read all the same."""

from __future__ import annotations

from enum import StrEnum

from tasks.core.jobs import Frozen


class FlagName(StrEnum):
    """What is to be known."""

    CHANGED = "changed"
    """The document changed while it was read."""
    CLEANED = "cleaned"
    """The answer held what is no text of the page, which was taken out or replaced."""
    CROPPED = "cropped"
    """What the page shows of itself is not what it says it shows."""
    DAMAGED = "damaged"
    """Part of it could not be decoded; the rest was read."""
    FAINT = "faint"
    """What is on it may be the other side, shining through, or dust."""
    FILES = "files"
    """The document carries files that were not read."""
    PAGES = "pages"
    """It says that it has another number of pages than it has."""
    PARTIAL = "partial"
    """The text is what a failed attempt gave, as `--fallback partial` asks."""
    SEAM = "seam"
    """It was read in strips, and where two of them meet lines may be cut or doubled."""
    UNDECODED = "undecoded"
    """Something on it is of a kind that cannot be read."""


class Flag(Frozen):
    """A flag, and what it is about in a sentence for a person."""

    name: FlagName
    detail: str

    def __str__(self) -> str:
        return f"{self.name}: {self.detail}"
