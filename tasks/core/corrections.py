"""What is corrected on the image of a page before it is read: its turn and its skew."""

from enum import StrEnum
from typing import Literal

from pydantic import Field

from tasks.core.forms import Frozen

Turn = Literal[0, 90, 180, 270]
"""Degrees clockwise."""


class Turning(StrEnum):
    """Pages that lie on their side or upside down."""

    AUTO = "auto"
    """They are turned before they are read, if it is certain which way."""
    NEVER = "never"


class Straightening(StrEnum):
    """Scans that are skewed."""

    AUTO = "auto"
    """They are straightened before they are read, if they are skewed by a degree or more."""
    NEVER = "never"


class Evidence(StrEnum):
    """What shows that a page lies on its side or upside down."""

    TEXT = "text"
    """The lines of its own text, which is drawn on it, run that way."""
    WORDS = "words"
    """Its print has words in that position, and next to none as it lies."""


class Correction(Frozen):
    """How a page's image was put upright.

    Attributes:
        turned: by these degrees clockwise; 0 if it was not turned.
        evidence: for the turn; None without one.
        straightened: by these degrees clockwise; 0 if it was not straightened.
    """

    turned: Turn = 0
    evidence: Evidence | None = None
    straightened: float = Field(0.0, ge=-45, le=45)

    def __str__(self) -> str:
        parts = [f"turned by {self.turned} degrees ({self.evidence})"] if self.turned else []
        parts += [f"straightened by {self.straightened:g} degrees"] if self.straightened else []
        return " and ".join(parts)
