"""What every backend is: a place where Ollama runs, that can be described, acquired and released."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import httpx

from tasks.backends.server_status import ServerStatus
from tasks.core.errors import ModelError
from tasks.core.interruption import Interruption
from tasks.core.jobs import BackendName
from tasks.core.replicas import Replicas
from tasks.core.scaling import Scale
from tasks.inference.api import Api
from tasks.inference.client import InferenceClient
from tasks.inference.schema import GenerateRequest
from tasks.ollama.names import canonical_name
from tasks.serving.clients import new_client
from tasks.slots.store import LedgerStore


class Held(Protocol):
    """What is held while an allocation lasts."""

    def release(self) -> None:
        """Let go. Doing it twice is harmless."""
        ...


@dataclass(frozen=True)
class MachineFacts:
    """The machine under a server, where it is one that is paid for.

    Attributes:
        id: its name in the cloud.
        kind: such as `g4dn.xlarge spot in us-east-1a`.
        usd_per_hour: what it costs while it runs; None if the price is not known.
        since: when the run took it, seconds since the epoch.
        parts: of which there are several at that price, and not always as many; None for one machine.
        boot_seconds: from then until it answered, if it was started for the run.
        spot_usd_per_hour: what it would cost on spot; None if it is, or that is not known.
        region: of the cloud, where there may be another of its name in others.
    """

    id: str
    kind: str
    usd_per_hour: float | None
    since: float
    parts: Replicas | None = None
    boot_seconds: float = 0.0
    spot_usd_per_hour: float | None = None
    region: str = ""

    def usd_so_far(self) -> float:
        """What it has cost since it was taken, USD; 0 if its price is not known."""
        seconds = time.time() - self.since if self.parts is None else self.parts.paid_seconds
        return (self.usd_per_hour or 0.0) * seconds / 3600


@dataclass(frozen=True)
class Endpoint:
    """How to call a server.

    Attributes:
        url: of its API.
        api: that it speaks.
        headers: to be sent with each request.
        certificate: what it shows over TLS, in PEM; None for what the system trusts.
        trust: file of the certificates by which it is trusted instead; None for those of the system.
        transport: makes what carries requests there, where that is not plain HTTP.
    """

    url: str
    api: Api = Api.OLLAMA
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    certificate: str | None = field(default=None, repr=False)
    trust: Path | None = None
    transport: Callable[[], httpx.AsyncBaseTransport] | None = field(default=None, repr=False)

    def client(self, timeout: float) -> InferenceClient:
        """Its API. Use as an async context manager.

        Args:
            timeout: longest wait for an answer, seconds.
        """
        transport = self.transport() if self.transport else None
        return new_client(
            self.api,
            self.url,
            timeout=timeout,
            headers=self.headers,
            certificate=self.certificate,
            trust=self.trust,
            transport=transport,
        )


@dataclass(frozen=True)
class Allocation:
    """A server that was acquired, and may be called until it is released.

    Attributes:
        endpoint: how to call it.
        slots: requests at once that it, or each of its parts, was started for; what it does is measured when warm.
        ledger: which runs use how many of them.
        started_for: requests at once that Hearth started it for, where that is known.
        started: it was started for this run.
        owned: Hearth started it, now or earlier, and will stop it.
        lease: held until release, where there is something to hold.
        machine: the one under it, where one is paid for; it can be replaced by another.
        interruption: whether that will go.
        parts: that serve behind its address; they may come and go.
        kept: the model that others keep warm on it, and its context length in tokens; None if runs may load what they
            like.
        log_tail: asks for the end of what the machine logged, in one line; None where there is nothing to ask.
        status: asks who uses it, and when it stops; None where Hearth cannot know. Raises CloudError.
        over_budget: asks why nobody may begin a page on it any more, for what all have spent; None: nothing limits it.
        work: page seconds of each document that was read while it was held.
    """

    backend: BackendName
    endpoint: Endpoint
    slots: int
    ledger: LedgerStore = field(repr=False)
    started_for: int | None = None
    started: bool = False
    owned: bool = False
    lease: Held | None = field(default=None, repr=False)
    machine: MachineFacts | None = None
    interruption: Interruption = field(default_factory=Interruption, repr=False)
    parts: Replicas = field(default_factory=Replicas, repr=False)
    kept: tuple[str, int] | None = None
    log_tail: Callable[[], Awaitable[str | None]] | None = field(default=None, repr=False)
    status: Callable[[], Awaitable[ServerStatus]] | None = field(default=None, repr=False)
    over_budget: Callable[[], Awaitable[str | None]] | None = field(default=None, repr=False)
    work: dict[str, float] = field(default_factory=dict, repr=False)

    @property
    def replaceable(self) -> bool:
        """Whether another can be had in its place when it fails: Hearth starts such servers."""
        return self.owned or self.machine is not None

    def suits(self, request: GenerateRequest) -> None:
        """See that a request will not have the parts load another model, for which they would count as broken.

        Raises:
            ModelError: it would.
        """
        if self.kept is None:
            return
        model, num_ctx = self.kept
        if (canonical_name(request.model), request.num_ctx) != (canonical_name(model), num_ctx):
            raise ModelError(
                f"{self.endpoint.url} keeps {model} warm with num_ctx {num_ctx}; asked for was {request.model} with "
                f"{request.num_ctx}. Read with those (--model {model} --num-ctx {num_ctx}), or deploy the others."
            )


@dataclass(frozen=True)
class Release:
    """What becomes of a server that was given back.

    Attributes:
        told: in a few words.
        look_at: when somebody should see whether its machine can be stopped, seconds since the epoch; None: never.
    """

    told: str
    look_at: float | None = None


class Backend(Protocol):
    """A place where Ollama runs.

    Attributes:
        name: its name in jobs and settings.
        default_model: read with if the job names none.
        default_slots: asked for if the job names none.
        servers: how many it has for one run at once, at the most.
    """

    name: BackendName
    default_model: str
    default_slots: int
    servers: int

    def describe(self) -> str:
        """Where and what it is, in a few words. Starts nothing and asks nobody."""
        ...

    async def digest(self, model: str) -> str | None:
        """The model's digest if it can be known without starting a server, else None."""
        ...

    def scale(self, slots: int) -> Scale:
        """How many machines a run begins with: so many servers or, of one server, so many parts.

        Args:
            slots: requests at once that are asked for of each server.
        """
        ...

    async def acquire(self, slots: int, holder: str, parts: int = 1) -> Allocation:
        """Find or start a server, another than those that were acquired here and not released.

        Whatever this starts, stops by itself when it is idle.

        Args:
            slots: requests at once that are asked for.
            holder: who asks, for people who wonder why it runs.
            parts: that it should have at the least, if it has parts.

        Raises:
            ServerError: it is not to be had; the message says what to do.
        """
        ...

    async def release(self, allocation: Allocation, *, broken: bool = False) -> Release:
        """Give the server back. Never raises for a server, or a cloud, that is out of reach.

        Args:
            allocation: what `acquire` returned.
            broken: it did not work: whatever is paid for is stopped now, unless others use it.
        """
        ...
