"""A page as an image, or as several."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tasks.core.corrections import Correction, Turn
from tasks.core.flags import Flag, FlagName
from tasks.documents.answers import PageFacts

# Less ink than this is dust: a page number of one digit at 1288 px is about 0.00004 of its page.
DUST = 0.00002


@dataclass(frozen=True, slots=True)
class PageImage:
    """A page as the model gets it.

    Attributes:
        png: the image: RGB, or grey if the page has no colour.
        width, height: in pixels.
        dpi: dots per inch.
        ink: the part of the pixels, 0 to 1, that stand out from the background.
        flags: warnings about the page.
        correction: how it was put upright; None if it was not changed.
        turns: those that may put it upright, in degrees clockwise, the likeliest first.
        strips: the images of a page that is too long for one, in order; `png` is empty then.
        clean: of a strip: no text is cut where it begins.
        overlap: of a strip: the part of it, 0 to 1, that repeats the end of the strip before it.
    """

    png: bytes
    width: int
    height: int
    dpi: float
    ink: float
    flags: tuple[Flag, ...] = ()
    strips: tuple[PageImage, ...] = ()
    clean: bool = True
    overlap: float = 0.0
    correction: Correction | None = None
    turns: tuple[Turn, ...] = ()

    @property
    def damage(self) -> str:
        """The part that could not be decoded, as text; empty if there is none."""
        return next((flag.detail for flag in self.flags if flag.name is FlagName.DAMAGED), "")

    @property
    def images(self) -> tuple[bytes, ...]:
        """The PNG files that show the page: one, or its strips, without those on which nothing is."""
        return tuple(strip.png for strip in self.strips if not strip.blank) or (self.png,)

    @property
    def blank(self) -> bool:
        """Whether all pixels are equal, so that no model is needed."""
        return self.ink == 0.0

    @property
    def has_ink(self) -> bool:
        """Whether there is so much ink that an empty answer must be wrong."""
        return self.ink > DUST


def image_of(facts: PageFacts, pngs: list[bytes]) -> PageImage:
    """Return a page by its facts and the PNG files of its images."""
    parts = [
        PageImage(png, image.width, image.height, facts.dpi, image.ink, (), (), image.clean, image.overlap)
        for image, png in zip(facts.images, pngs, strict=True)
    ]
    if len(parts) == 1:
        return replace(parts[0], flags=facts.noted, correction=facts.correction, turns=facts.turns)
    ink = sum(part.ink for part in parts) / len(parts)
    return PageImage(b"", facts.width, facts.height, facts.dpi, ink, facts.noted, tuple(parts))
