"""Calls of a model: the parts of its profile that settings may replace."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from tasks.core.forms import Frozen


class Endpoint(StrEnum):
    """The call that carries a page; servers that speak OpenAI's API have `chat` alone."""

    GENERATE = "generate"
    CHAT = "chat"


class CleanUp(StrEnum):
    """A step between a model's answer and Markdown; see `tasks.models.clean_up`."""

    FRONT_MATTER = "front-matter"
    GROUNDING = "grounding"
    BOXES = "boxes"
    DOCTAGS = "doctags"
    MATH = "math"
    TABLES = "tables"
    """Tables in HTML as Markdown, where nothing is lost."""
    HTML_TABLES = "html-tables"
    """Tables in Markdown as HTML."""


class Sampling(Frozen):
    """Options of sampling beside the temperature; None leaves one to the server."""

    top_k: int | None = Field(None, ge=0, description="Tokens to choose from.")
    top_p: float | None = Field(None, gt=0, le=1, description="Probability that the tokens to choose from sum up to.")
    min_p: float | None = Field(None, ge=0, le=1, description="Least probability, relative to the likeliest token's.")
    repeat_penalty: float | None = Field(None, gt=0, description="Penalty on repeated tokens; 1 is none.")
    repeat_last_n: int | None = Field(None, ge=-1, description="Tokens that the penalty looks back at.")
    presence_penalty: float | None = Field(None, ge=-2, le=2, description="Penalty on tokens that occurred before.")

    def options(self) -> dict[str, float | int]:
        """Return those that are set, under Ollama's names."""
        return self.model_dump(exclude_none=True)


Stops = tuple[Annotated[str, Field(min_length=1)], ...]
Temperatures = tuple[Annotated[float, Field(ge=0, le=2)], ...]
