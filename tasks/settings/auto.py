"""What `auto` may take, and for what use."""

from __future__ import annotations

from pydantic import Field, field_validator

from tasks.core.jobs import ON_AWS, BackendName
from tasks.settings.base import Section


class AutoSettings(Section):
    """The backend `auto`, where AWS is at hand. The use is told and not guessed, so that all runs choose alike."""

    backends: tuple[BackendName, ...] = Field(
        (),
        description="Backends on AWS that are deployed, and that `auto` may take though they cost money (JSON list), "
        'such as ["ec2", "ecs"]; none if empty. The cheapest for the use that is told here is taken.',
    )
    pages: int = Field(50, ge=1, description="Pages of a usual run.")
    runs_a_day: float = Field(1.0, gt=0, description="Usual runs a day, of everybody.")
    max_usd: float = Field(1.0, gt=0, description="`auto` takes nothing on AWS that may cost more a run, USD.")

    @field_validator("backends")
    @classmethod
    def _paid(cls, backends: tuple[BackendName, ...]) -> tuple[BackendName, ...]:
        for each in backends:
            if each not in ON_AWS:
                raise ValueError(f"{each} is not on AWS; choose of {', '.join(ON_AWS)}")
        return backends
