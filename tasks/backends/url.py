"""Servers that someone else runs: asked, never started nor stopped."""

from __future__ import annotations

import os

from tasks.backends.base import Allocation, Endpoint, Release
from tasks.backends.check import check_server
from tasks.core.errors import InputError, ServerError
from tasks.core.finding import Finding, Findings, State
from tasks.core.jobs import BackendName
from tasks.core.network import HTTPX_CERTIFICATES, check_connection, ssl_context
from tasks.core.scaling import Scale
from tasks.inference.client import InferenceClient
from tasks.ollama.address import ServerAddress, parse_address
from tasks.serving.clients import DIGEST_SECONDS, fetch_digest
from tasks.settings.settings import Settings
from tasks.slots.store import FileStore

_CHECK_SECONDS = 10.0
_NO_ADDRESS = "The backend url needs an address. Set HEARTH_URL, for instance http://10.0.0.5:11434."


def offer(settings: Settings) -> str | None:
    """Why `auto` takes this backend; None if it does not."""
    return "a server's address is set (HEARTH_URL, LLAMA_API_URL or OLLAMA_HOST)" if settings.url else None


async def check(settings: Settings) -> Findings:
    """Ask each server whether it answers and has the model."""
    if not settings.url:
        yield Finding(State.MISSING, "No address is set.", "Set HEARTH_URL, such as http://10.0.0.5:11434.")
        return
    backend = UrlBackend(settings)
    for url in backend.urls:
        async with backend.client(url, _CHECK_SECONDS) as client:
            async for finding in check_server(client, settings.model or backend.default_model):
                yield finding


class UrlBackend:
    """See the module."""

    name = BackendName.URL
    default_model = "qwen2.5vl:7b"
    default_slots = 8

    def __init__(self, settings: Settings) -> None:
        if not settings.url:
            raise InputError(_NO_ADDRESS)
        self._home = settings.home
        self._trust = settings.url_ca
        self._api = settings.url_api
        self._headers = {
            address.url: _headers(settings, address)
            for address in (
                parse_address(written, as_ollama=settings.url == os.environ.get("OLLAMA_HOST"))
                for written in settings.url.split(",")
                if written.strip()
            )
        }
        self.urls = tuple(self._headers)
        if not self.urls:
            raise InputError(_NO_ADDRESS)
        for url in self.urls:
            check_connection(url, HTTPX_CERTIFICATES if self._trust is None else ())
        if self._trust is not None:
            ssl_context(self._trust)
        self.servers = len(self.urls)
        self._in_use: set[str] = set()

    def describe(self) -> str:
        """See `Backend`."""
        return f"the server{'s' if self.servers > 1 else ''} at {', '.join(self.urls)}"

    async def digest(self, model: str) -> str | None:
        """See `Backend`: only the server knows."""
        url = self.urls[0]
        return await fetch_digest(self.client(url, DIGEST_SECONDS), model)

    def client(self, url: str, timeout: float) -> InferenceClient:
        """Return the API of one of its servers."""
        return self._endpoint(url).client(timeout)

    def _endpoint(self, url: str) -> Endpoint:
        return Endpoint(url, self._api, headers=self._headers[url], trust=self._trust)

    def scale(self, slots: int) -> Scale:
        """See `Backend`: all that there are are used."""
        del slots
        return Scale(self.servers)

    async def acquire(self, slots: int, holder: str, parts: int = 1) -> Allocation:
        """See `Backend`. Nothing is asked yet: the warm-up waits for an answer."""
        del holder, parts
        url = next((url for url in self.urls if url not in self._in_use), None)
        if url is None:
            raise ServerError(f"HEARTH_URL names no more than {self.servers} servers, and all are in use.")
        self._in_use.add(url)
        ledger = FileStore.of(self._home, url)
        return Allocation(self.name, self._endpoint(url), slots, ledger)

    async def release(self, allocation: Allocation, *, broken: bool = False) -> Release:
        """See `Backend`."""
        del broken
        self._in_use.discard(allocation.endpoint.url)
        return Release("left as it was: someone else runs it")


def _headers(settings: Settings, address: ServerAddress) -> dict[str, str]:
    """What is sent with each request. The address's own user and password come before the token, which is for all."""
    headers = {name: value.get_secret_value() for name, value in settings.url_headers.items()}
    token = {"Authorization": f"Bearer {settings.url_token.get_secret_value()}"} if settings.url_token else {}
    for more in (token, address.headers):
        headers = {name: value for name, value in headers.items() if name.lower() != "authorization" or not more}
        headers.update(more)
    return headers
