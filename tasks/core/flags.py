"""Flags: warnings about a page or document that was read."""

from enum import StrEnum

from tasks.core.jobs import Frozen


class FlagName(StrEnum):
    """The kinds of warnings."""

    CHANGED = "changed"
    """The document changed while it was read."""
    CLEANED = "cleaned"
    """Text that is not the page's was removed from the answer, or replaced."""
    CROPPED = "cropped"
    """The page's size or crop box is unusable and was replaced."""
    DAMAGED = "damaged"
    """Part of the page could not be decoded; the rest was read."""
    FAINT = "faint"
    """The page's ink may be dust, or the other side shining through."""
    FILES = "files"
    """The document has attachments that were not read."""
    LANGUAGE = "language"
    """The text is like another script or language than the page was read in (`--languages`)."""
    MISREAD = "misread"
    """The model says that it saw the page turned, so that its text may be wrong."""
    PAGES = "pages"
    """The document declares another number of pages than it has."""
    PARTIAL = "partial"
    """The text comes from a failed attempt (`--fallback partial`)."""
    SEAM = "seam"
    """The page was read in strips; lines may be cut or doubled where two strips meet."""
    TEXT_LAYER = "text-layer"
    """The text is the page's own text layer, which may not be all that the page shows (`--text-layer always`)."""
    TEXT_LAYER_FALLBACK = "text-layer-fallback"
    """The model failed at the page, and the text is its text layer (`--fallback text-layer`)."""
    UNDECODED = "undecoded"
    """The page may have content of a kind that cannot be read."""


class Flag(Frozen):
    """A warning, with a sentence for people."""

    name: FlagName
    detail: str

    def __str__(self) -> str:
        return f"{self.name}: {self.detail}"
