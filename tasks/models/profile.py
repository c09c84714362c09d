"""A model's profile: what it is sent, and how its answers become Markdown. One TOML file each, in `profiles/`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, model_validator

from tasks.core.calls import CleanUp, Endpoint, Sampling, Stops, Temperatures
from tasks.core.errors import InputError
from tasks.core.forms import Frozen

_LARGEST_BYTES = 100_000
"""Of a profile's file."""


class Profile(Frozen):
    """What a model asks for. What a profile leaves open is taken from the settings and the general prompt.

    Attributes:
        name: of the file, without its ending.
    """

    name: str = Field(min_length=1, description="The profile's name.")
    title: str = Field("", description="The model, and who made it.")
    names: tuple[str, ...] = Field(
        (), description="Patterns of the model's name, such as `qwen2.5vl*`; the longest that matches wins."
    )
    families: tuple[str, ...] = Field((), description="Families as Ollama's /api/show names them.")
    endpoint: Endpoint = Field(Endpoint.GENERATE, description="The call that carries a page.")
    think: bool | None = Field(
        None, description="Whether the model thinks before it answers; None: not, where its server says that it can."
    )
    prompt: str | None = Field(None, description="What the model was trained on; empty: the image alone.")
    system: str | None = Field(None, description="System message.")
    stop: Stops = Field((), description="Texts at which an answer ends.")
    sampling: Sampling = Field(default_factory=Sampling, description="How tokens are chosen.")
    temperatures: Temperatures = Field(
        (), description="Temperature of the first attempt, the second, and so on; the last one holds for all others."
    )
    longest_side: int | None = Field(None, ge=64, le=8192, description="Longest side of the page images, pixels.")
    num_ctx: int | None = Field(None, ge=256, description="Context, tokens.")
    num_predict: int | None = Field(None, ge=1, description="Most tokens of an answer.")
    clean_up: tuple[CleanUp, ...] = Field((), description="Steps from the answer to Markdown, in order.")
    parallel: bool = Field(True, description="Whether Ollama serves several requests of it at once.")
    ollama: str | None = Field(None, description="Version of Ollama that it needs.")
    refused: str | None = Field(None, description="Why it is not used; empty for a model that is.")
    schema_refused: str | None = Field(
        None, description="Why it cannot answer by a JSON Schema; empty for a model that follows instructions."
    )
    schema_warning: str | None = Field(None, description="What to know before it answers by a JSON Schema.")
    sources: tuple[str, ...] = Field((), description="Where this comes from.")
    licence: str | None = Field(None, description="Licence of a prompt that was taken word for word.")
    tried: str = Field("", description="What was run with it, and what never was.")

    @model_validator(mode="after")
    def _complete(self) -> Profile:
        if self.prompt and self.licence is None:
            raise ValueError("a prompt needs its licence, or `own` if it is yours")
        if self.num_ctx and self.num_predict and self.num_predict >= self.num_ctx:
            raise ValueError("num_predict leaves no room for the page in num_ctx")
        return self

    def replaced(self, overrides: Mapping[str, Any]) -> Profile:
        """Return the profile with other values for some fields; of the sampling, the fields that are set."""
        if "sampling" in overrides:
            sampling = {**self.sampling.options(), **overrides["sampling"].options()}
            overrides = {**overrides, "sampling": Sampling(**sampling)}
        return self.model_copy(update=dict(overrides))

    def temperature(self, attempt: int) -> float:
        """Return the temperature of an attempt, counted from 1: 0 at first, then 0.2 more each time up to 1.

        A profile's own ladder comes before that.
        """
        if self.temperatures:
            return self.temperatures[min(attempt, len(self.temperatures)) - 1]
        return round(min(1.0, 0.2 * (attempt - 1)), 1)


def load_profile(path: Path) -> Profile:
    """Return the profile in a file.

    Raises:
        InputError: it cannot be read, or is no profile.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST_BYTES + 1)
        if len(text) > _LARGEST_BYTES:
            raise InputError(f"The profile {path} is larger than {_LARGEST_BYTES // 1000} kB. Is it another file?")
        fields = tomllib.loads(text.decode())
        return Profile.model_validate({"name": path.stem, **fields})
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"The profile {path} cannot be read: {error}.") from None
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the file"
        raise InputError(f"The profile {path} is not valid: {field}: {first['msg']}.") from None
