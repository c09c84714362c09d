"""What every backend is: a place where Ollama runs, that can be described, acquired and released."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from tasks.jobs import BackendName
from tasks.leases import FileLease


@dataclass(frozen=True)
class Endpoint:
    """A server that was acquired and may be asked until it is released.

    Attributes:
        url: of Ollama's API.
        slots: requests at once that it was started for; what it really does is measured when warm.
        started: it was started for this run.
        owned: Hearth started it, now or earlier, and will stop it.
        headers: to be sent with each request.
        lease: held until release, where there is something to hold.
    """

    backend: BackendName
    url: str
    slots: int
    started: bool = False
    owned: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    lease: FileLease | None = None


class Backend(Protocol):
    """A place where Ollama runs.

    Attributes:
        name: its name in jobs and settings.
        default_model: read with if the job names none.
        default_slots: asked for if the job names none.
    """

    name: BackendName
    default_model: str
    default_slots: int

    def describe(self) -> str:
        """Where and what it is, in a few words. Starts nothing and asks nobody."""
        ...

    async def digest(self, model: str) -> str | None:
        """The model's digest if it can be known without starting a server, else None."""
        ...

    async def acquire(self, slots: int) -> Endpoint:
        """Find or start the server. Whatever this starts, stops by itself when it is idle.

        Args:
            slots: requests at once that are asked for.

        Raises:
            ServerError: it is not to be had; the message says what to do.
        """
        ...

    async def release(self, endpoint: Endpoint) -> str:
        """Give the server back.

        Returns:
            What becomes of it, in a few words.
        """
        ...
