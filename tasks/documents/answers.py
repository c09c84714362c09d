"""What the sandboxed process may answer. It has seen a stranger's file: nothing is taken that is not of this form."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from tasks.core.flags import Flag, FlagName
from tasks.documents import png

_MOST_IMAGES = 128
_MOST_BYTES = 2**29
_LONGEST_NUMBER = 2**63
_LONGEST_TOLD = 200
# What rounding may add to an image.
_MORE_PIXELS = 1.05


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
    """An answer is none: whoever gave it is not to be asked again."""


class _Answer(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Confined(_Answer):
    """What the kernel holds of the process: its version of Landlock, 0 if it has none, and whether it has seccomp."""

    landlock: int = Field(ge=0, lt=1000)
    seccomp: bool


class Facts(_Answer):
    """What is to be known of a document before any page of it; see `PageRenderer.facts`."""

    pages: int = Field(ge=0, le=2**31)
    declared: _Number
    repaired: bool
    portfolio: bool
    files: tuple[_Name, ...] = Field(max_length=20)
    more_files: _Count


class Refused(_Answer):
    """Why a document is not opened."""

    refused: _Word
    detail: _Text
    memory_mb: _Count


class ImageFacts(_Answer):
    """What is to be known of an image that follows."""

    size: int = Field(gt=0, le=_MOST_BYTES)
    width: _Pixels
    height: _Pixels
    ink: _Part
    clean: bool
    overlap: _Part


class PageFacts(_Answer):
    """What is to be known of a page that was rendered."""

    dpi: float = Field(gt=0, allow_inf_nan=False)
    width: _Count
    height: _Count
    images: tuple[ImageFacts, ...] = Field(min_length=1, max_length=_MOST_IMAGES)
    flags: tuple[tuple[_PageFlag, _Text], ...] = Field(max_length=8)

    def check(self, longest_side: int) -> None:
        """Check that its images are of the size that was asked for.

        Raises:
            MalformedError: they are not, or too large together.
        """
        most = max(longest_side**2 * _MORE_PIXELS, 2**14)
        for each in self.images:
            if each.width * each.height > most or each.size > png.most_bytes(each.width, each.height):
                raise MalformedError(f"an image of {each.width} x {each.height} pixels in {each.size} bytes")
        if sum(each.size for each in self.images) > _MOST_BYTES:
            raise MalformedError("images of more bytes than any page has")

    @property
    def noted(self) -> tuple[Flag, ...]:
        """Its flags."""
        return tuple(Flag(name=FlagName(name), detail=detail) for name, detail in self.flags)


class PageRefused(_Answer):
    """Why a page is not rendered."""

    error: _Text
    reason: _Word


T = TypeVar("T")

CONFINED = TypeAdapter(Confined)
OPENED: TypeAdapter[Facts | Refused] = TypeAdapter(Facts | Refused)
RENDERED: TypeAdapter[PageFacts | PageRefused] = TypeAdapter(PageFacts | PageRefused)


def parsed(data: bytes, kind: TypeAdapter[T]) -> T:
    """Return an answer that has to be of a kind.

    Raises:
        MalformedError: it is not.
    """
    try:
        return kind.validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        raise MalformedError(f"{first['msg']} at {'.'.join(map(str, first['loc']))}"[:_LONGEST_TOLD]) from None
