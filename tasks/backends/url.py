"""Servers that someone else runs: called, never started or stopped."""

import os

from tasks.backends.base import Allocation, Backend, Endpoint, Release
from tasks.backends.check import check_server
from tasks.backends.registration import Registration
from tasks.core.errors import InputError, ServerError
from tasks.core.finding import Finding, Findings, State
from tasks.core.jobs import BackendName
from tasks.core.network import HTTPX_CERTIFICATES, check_connection, ssl_context
from tasks.core.scaling import Scale
from tasks.ollama.address import ServerAddress, parse_address
from tasks.serving.clients import DIGEST_SECONDS, fetch_digest
from tasks.settings.settings import Settings
from tasks.slots.store import FileStore

_CHECK_SECONDS = 10.0
_NO_ADDRESS = "The backend url needs an address. Set HEARTH_URL, for instance http://10.0.0.5:11434."


def offer(settings: Settings) -> str | None:
    """Return why `auto` takes this backend; None if it does not."""
    return "a server's address is set (HEARTH_URL, LLAMA_API_URL or OLLAMA_HOST)" if settings.url else None


async def check(settings: Settings) -> Findings:
    """Check whether each server answers and has the model."""
    if not settings.url:
        yield Finding(State.MISSING, "No address is set.", "Set HEARTH_URL, such as http://10.0.0.5:11434.")
        return
    backend = UrlBackend(settings)
    for endpoint in backend.endpoints.values():
        async with endpoint.client(_CHECK_SECONDS) as client:
            async for finding in check_server(client, settings.model or backend.default_model):
                yield finding


class UrlBackend(Backend):
    """Servers at the addresses of HEARTH_URL."""

    name = BackendName.URL
    default_model = "qwen2.5vl:7b"
    default_slots = 8

    def __init__(self, settings: Settings) -> None:
        if not settings.url:
            raise InputError(_NO_ADDRESS)
        self._home = settings.home
        as_ollama = settings.url == os.environ.get("OLLAMA_HOST")
        written = [part for part in settings.url.split(",") if part.strip()]
        addresses = [parse_address(part, as_ollama=as_ollama) for part in written]
        self.endpoints = {
            each.url: Endpoint(each.url, _headers(settings, each), trust=settings.url_ca, api=settings.url_api)
            for each in addresses
        }
        if not self.endpoints:
            raise InputError(_NO_ADDRESS)
        for url in self.endpoints:
            check_connection(url, HTTPX_CERTIFICATES if settings.url_ca is None else ())
        if settings.url_ca is not None:
            ssl_context(settings.url_ca)
        self.servers = len(self.endpoints)
        self._in_use: set[str] = set()

    def describe(self) -> str:
        """See `Backend`."""
        return f"the server{'s' if self.servers > 1 else ''} at {', '.join(self.endpoints)}"

    async def digest(self, model: str) -> str | None:
        """See `Backend`."""
        first = next(iter(self.endpoints.values()))
        return await fetch_digest(first.client(DIGEST_SECONDS), model)

    def scale(self, slots: int) -> Scale:
        """See `Backend`: a run uses all of them."""
        del slots
        return Scale(self.servers)

    async def acquire(self, slots: int, holder: str, replicas: int = 1) -> Allocation:
        """See `Backend`. Nothing is sent yet: the warm-up waits for a response."""
        del holder, replicas
        url = next((url for url in self.endpoints if url not in self._in_use), None)
        if url is None:
            raise ServerError(f"HEARTH_URL names no more than {self.servers} servers, and all are in use.")
        self._in_use.add(url)
        return Allocation(self.name, self.endpoints[url], slots, FileStore.of(self._home, url))

    async def release(self, allocation: Allocation, *, broken: bool = False) -> Release:
        """See `Backend`."""
        del broken
        self._in_use.discard(allocation.endpoint.url)
        return Release("left as it was: someone else runs it")


def _headers(settings: Settings, address: ServerAddress) -> dict[str, str]:
    """Return the headers of each request. An address's user and password win over the token, which is for all."""
    headers = {name: value.get_secret_value() for name, value in settings.url_headers.items()}
    token = {"Authorization": f"Bearer {settings.url_token.get_secret_value()}"} if settings.url_token else {}
    for more in (token, address.headers):
        headers = {name: value for name, value in headers.items() if name.lower() != "authorization" or not more}
        headers.update(more)
    return headers


REGISTRATION = Registration(name=UrlBackend.name, open=UrlBackend, check=check, offer=offer)
