"""What all backends share: a place where Ollama runs, that can be described, acquired and released."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import httpx

from tasks.backends.server_status import ServerStatus
from tasks.core.errors import InputError
from tasks.core.interruption import Interruption
from tasks.core.jobs import BackendName
from tasks.core.replicas import Replicas
from tasks.core.scaling import Scale
from tasks.inference.api import Api
from tasks.inference.client import InferenceClient
from tasks.inference.schema import GenerateRequest
from tasks.serving.clients import new_client
from tasks.slots.store import LedgerStore


@dataclass(frozen=True)
class MachineFacts:
    """The machine under a server that is paid for.

    Attributes:
        id: its name in the cloud.
        kind: such as `g4dn.xlarge spot in us-east-1a`.
        usd_per_hour: its price while it runs; None if unknown.
        since: when the run took it, seconds since the epoch.
        replicas: its equal parts, each at that price, whose number changes; None for a single machine.
        boot_seconds: time from `since` until it answered; 0 if it was not started for the run.
        spot_usd_per_hour: its price on spot; None if it is a spot machine, or the price is unknown.
        region: of the cloud; empty where names are unique without it.
    """

    id: str
    kind: str
    usd_per_hour: float | None
    since: float
    replicas: Replicas | None = None
    boot_seconds: float = 0.0
    spot_usd_per_hour: float | None = None
    region: str = ""

    def usd_so_far(self) -> float:
        """Return its cost since it was taken, USD; 0 if its price is unknown."""
        seconds = time.time() - self.since if self.replicas is None else self.replicas.paid_seconds
        return (self.usd_per_hour or 0.0) * seconds / 3600


@dataclass(frozen=True)
class Endpoint:
    """How to call a server.

    Attributes:
        certificate: the only one to trust over TLS, in PEM; None for those that `trust` names.
        trust: file of trusted certificates; None for the system's.
        transport: makes what carries requests, where that is not plain HTTP.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    certificate: str | None = field(default=None, repr=False)
    trust: Path | None = None
    transport: Callable[[], httpx.AsyncBaseTransport] | None = field(default=None, repr=False)
    api: Api = Api.OLLAMA

    def client(self, timeout: float) -> InferenceClient:
        """Return a client that waits at most `timeout` seconds for a response. Use as an async context manager."""
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


@dataclass(kw_only=True)
class ServerLease:
    """A run's hold on a server until it is released. This one holds nothing: someone else runs the server.

    A backend that starts servers has a lease of its own, and overrides what it knows.

    Attributes:
        interruption: whether the server is about to go, or has gone.
        replicas: equal parts behind the server's address.
        work: page seconds of each document that was read under the lease.
        started_for: parallel requests that Hearth started the server for; None if unknown.
        managed: whether Hearth starts such servers, and can replace one that fails.
        has_budget: whether spending by all runs limits the use of the server.
    """

    interruption: Interruption = field(default_factory=Interruption, repr=False)
    replicas: Replicas = field(default_factory=Replicas, repr=False)
    work: dict[str, float] = field(default_factory=dict, repr=False)
    started_for: int | None = None
    managed = False
    has_budget = False

    def release(self) -> None:
        """Let go. Calling it twice is harmless."""

    def check_request(self, request: GenerateRequest) -> None:
        """Refuse a request that the server would suffer from.

        Raises:
            ModelError: it names another model or context length than the replicas keep warm.
        """

    async def status(self) -> ServerStatus:
        """Return who uses the server, and when it stops.

        Raises:
            CloudError: the cloud refuses, or cannot be reached.
        """
        return ServerStatus("in use", "someone else runs it")

    async def log_tail(self) -> str | None:
        """Return the end of the machine's log in one line, empty if nothing was logged; None if it keeps no log."""
        return None

    async def over_budget(self) -> str | None:
        """Return why no further page may start on the server, or None if nothing forbids it."""
        return None


@dataclass(frozen=True)
class Allocation:
    """A server that was acquired, and may be called until it is released.

    Attributes:
        slots: parallel requests that it, or each of its replicas, is set up for; a measurement corrects that.
        ledger: which runs use how many of its slots.
        machine: what is paid for; None if nothing is.
        started: whether it was started for this run.
    """

    backend: BackendName
    endpoint: Endpoint
    slots: int
    ledger: LedgerStore = field(repr=False)
    lease: ServerLease = field(default_factory=ServerLease, repr=False)
    machine: MachineFacts | None = None
    started: bool = False

    @property
    def interruption(self) -> Interruption:
        """Whether the server is about to go, or has gone."""
        return self.lease.interruption

    @property
    def replicas(self) -> Replicas:
        """Equal parts behind the server's address."""
        return self.lease.replicas


@dataclass(frozen=True)
class Release:
    """What becomes of a server that was given back.

    Attributes:
        message: for people, such as `stays warm for 10 min, then stops`.
        look_at: when its machine should be checked for idleness, seconds since the epoch; None: never.
    """

    message: str
    look_at: float | None = None


class Backend(Protocol):
    """A place where Ollama runs.

    Attributes:
        name: in jobs and settings.
        default_model: for jobs that name none.
        default_slots: for jobs that name no number.
        servers: most servers that one run may use at once.
        pool_name: name of its pool on AWS; empty if it has none.
        takes_languages: whether its model is chosen by the languages of the documents.
    """

    name: BackendName
    default_model: str
    default_slots: int
    servers: int = 1
    pool_name: str = ""
    takes_languages: bool = False

    def describe(self) -> str:
        """Return what it is and where, in a few words. Starts and calls nothing."""
        ...

    def model_for(self, languages: str) -> str:
        """Return the model that reads these languages, such as `deu+eng`.

        Raises:
            InputError: the backend does not choose its model by languages.
            LanguageError: there is no trained data for one of them.
        """
        raise InputError(
            f"The backend {self.name} takes no languages ({languages}): a vision model reads those that it was trained "
            "on. Leave --languages out, or choose --backend embedded."
        )

    async def digest(self, model: str) -> str | None:
        """Return the model's digest, or None if it is unknown until a server is started."""
        del model
        return None

    def scale(self, slots: int) -> Scale:
        """Return how many machines a run begins with: servers with so many slots or, of a single server, replicas."""
        del slots
        return Scale()

    async def acquire(self, slots: int, holder: str, replicas: int = 1) -> Allocation:
        """Find or start a server, another than those that are acquired already.

        Whatever this starts stops by itself when it is idle. `holder` is the name of the run, for people who wonder why
        the server is up. A server that has replicas gets at least so many.

        Raises:
            ServerError: there is no server; the message says what to do.
        """
        ...

    async def release(self, allocation: Allocation, *, broken: bool = False) -> Release:
        """Give a server back. Never raises for a server, or a cloud, that cannot be reached.

        If it was broken, what is paid for stops now, unless others use it.
        """
        ...
