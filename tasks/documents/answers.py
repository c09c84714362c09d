"""The permitted responses of the sandboxed process, which has parsed an untrusted file."""

from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from tasks.core.corrections import Correction, Evidence, Turn
from tasks.core.flags import Flag, FlagName
from tasks.documents import png
from tasks.documents.wire import MOST_LAYER_BYTES

_MOST_IMAGES = 128
_MOST_BYTES = 2**29
_LONGEST_NUMBER = 2**63
_LONGEST_ERROR = 200
_LONGEST_SAMPLE = 6_000
# Pixels that rounding may add to an image.
_MORE_PIXELS = 1.05
_LARGEST_SKEW = 45.0


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("it is not printable")
    return text


_Text = Annotated[str, StringConstraints(max_length=2000), AfterValidator(_printable)]
_Name = Annotated[str, StringConstraints(max_length=100), AfterValidator(_printable)]
_Word = Annotated[str, StringConstraints(pattern=r"^[a-z]{1,20}$")]
_Number = Annotated[int, Field(ge=-_LONGEST_NUMBER, lt=_LONGEST_NUMBER)]
_Count = Annotated[int, Field(ge=0, lt=_LONGEST_NUMBER)]
_Part = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
_PageFlag = Literal["damaged", "files", "undecoded", "cropped"]
_Pixels = Annotated[int, Field(gt=0, lt=2**16)]


class MalformedError(Exception):
    """A response has not the permitted form: its process must be ended."""


class _Answer(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Confined(_Answer):
    """How the kernel confines the process: the version of Landlock, 0 if it has none, and whether it has seccomp."""

    landlock: int = Field(ge=0, lt=1000)
    seccomp: bool


class Facts(_Answer):
    """The facts about a document that decide whether it is read; see `PageRenderer.facts`."""

    pages: int = Field(ge=0, le=2**31)
    declared: _Number
    repaired: bool
    portfolio: bool
    files: tuple[_Name, ...] = Field(max_length=20)
    more_files: _Count


class Refused(_Answer):
    """The reason why a document is not opened."""

    refused: _Word
    detail: _Text
    memory_mb: _Count


class ImageFacts(_Answer):
    """The size and properties of an image, whose bytes follow."""

    size: int = Field(gt=0, le=_MOST_BYTES)
    width: _Pixels
    height: _Pixels
    ink: _Part
    clean: bool
    overlap: _Part


class PageFacts(_Answer):
    """The properties of a rendered page."""

    dpi: float = Field(gt=0, allow_inf_nan=False)
    width: _Count
    height: _Count
    images: tuple[ImageFacts, ...] = Field(min_length=1, max_length=_MOST_IMAGES)
    flags: tuple[tuple[_PageFlag, _Text], ...] = Field(max_length=8)
    turned: Turn
    by_text: bool
    straightened: float = Field(ge=-_LARGEST_SKEW, le=_LARGEST_SKEW)
    turns: tuple[Turn, ...] = Field(max_length=3)

    def check(self, longest_side: int) -> None:
        """Check that the images have the requested size.

        Raises:
            MalformedError: they have not, or are too large together.
        """
        most = max(longest_side**2 * _MORE_PIXELS, 2**14)
        for image in self.images:
            if image.width * image.height > most or image.size > png.most_bytes(image.width, image.height):
                raise MalformedError(f"an image of {image.width} x {image.height} pixels in {image.size} bytes")
        if sum(image.size for image in self.images) > _MOST_BYTES:
            raise MalformedError("images of more bytes than any page has")

    @property
    def noted(self) -> tuple[Flag, ...]:
        """The flags of the page."""
        return tuple(Flag(name=FlagName(name), detail=detail) for name, detail in self.flags)

    @property
    def correction(self) -> Correction | None:
        """How the page was put upright; None if nothing was done."""
        if not (self.turned or self.straightened):
            return None
        by = Evidence.TEXT if self.by_text else Evidence.WORDS
        return Correction(turned=self.turned, evidence=by if self.turned else None, straightened=self.straightened)


class LayerFacts(_Answer):
    """The figures of a page's text layer, whose text follows.

    Attributes:
        size: bytes of the text, in UTF-8.
        truncated: whether there is more text than is kept.
        blank: whether the page shows nothing at all.
        characters: that are written, without blanks.
        hidden, tiny, vertical, turned: how many of them are drawn invisibly, are smaller than 3 points, are in a
            vertical writing mode, or run in another direction than most.
        without_ink: letters and digits that are drawn, but not to be seen.
        unexplained: the part of what looks like print on the page, 0 to 1, that is in no line of the text.
        over_pictures: the part of the words, 0 to 1, that stand on a picture of 2 % of the page or more.
        pictures: the part of the page, 0 to 1, that such pictures cover.
        fonts: samples of the text in each font, the most used first.
        flags: as of a rendered page.
    """

    size: int = Field(ge=0, le=MOST_LAYER_BYTES)
    truncated: bool
    blank: bool
    characters: _Count
    hidden: _Count
    tiny: _Count
    vertical: _Count
    turned: _Count
    without_ink: _Count
    unexplained: _Part
    over_pictures: _Part
    pictures: _Part
    fonts: tuple[Annotated[str, StringConstraints(max_length=_LONGEST_SAMPLE)], ...] = Field(max_length=24)
    flags: tuple[tuple[_PageFlag, _Text], ...] = Field(max_length=8)


class TurnFact(_Answer):
    """The turn that puts a page upright, in degrees clockwise."""

    turn: Turn


class PageRefused(_Answer):
    """The reason why a page is not rendered."""

    error: _Text
    reason: _Word


T = TypeVar("T")

CONFINED = TypeAdapter(Confined)
OPENED: TypeAdapter[Facts | Refused] = TypeAdapter(Facts | Refused)
TURN = TypeAdapter(TurnFact)
LAYER: TypeAdapter[LayerFacts | PageRefused] = TypeAdapter(LayerFacts | PageRefused)
RENDERED: TypeAdapter[PageFacts | PageRefused] = TypeAdapter(PageFacts | PageRefused)


def parsed(data: bytes, kind: TypeAdapter[T]) -> T:
    """Return a response of the expected kind.

    Raises:
        MalformedError: it is of another form.
    """
    try:
        return kind.validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        raise MalformedError(f"{first['msg']} at {'.'.join(map(str, first['loc']))}"[:_LONGEST_ERROR]) from None
