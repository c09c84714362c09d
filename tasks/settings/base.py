"""What groups of settings have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A group of settings: strict about names, so that a misspelt one is an error and not a default."""

    model_config = ConfigDict(extra="forbid", frozen=True)
