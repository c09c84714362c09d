"""A typed client of Ollama's HTTP API: the only module that knows its wire.

Written against Ollama v0.33 (server/routes.go, api/types.go). Ollama answers 500 for nearly everything that
goes wrong, so that an error is judged by its text: what cannot pass is a ModelError, the rest a PassingError.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from pydantic import ValidationError

from tasks.core.errors import FailureReason, HearthError, ModelError, PageError, PassingError, ServerError, SilentError
from tasks.core.network import proxy_for, trusted
from tasks.ollama.connection import refusing_detours, trouble
from tasks.ollama.schema import (
    Answer,
    GenerateRequest,
    Loaded,
    LoadedModel,
    Model,
    ModelDetails,
    PullProgress,
    Shown,
    Tags,
    Wire,
    find_model,
)

__all__ = [
    "Answer",
    "GenerateRequest",
    "LoadedModel",
    "Model",
    "ModelDetails",
    "OllamaClient",
    "PullProgress",
    "digest_at",
]

W = TypeVar("W", bound=Wire)

_GLANCE_SECONDS = 3.0
_TLS_NAME = "hearth"
_PASSING_STATUS = {408, 425, 429, 499, 502, 503, 504}

# Texts of errors that stay what they are however often one asks (ollama#16490, #16547; server/images.go).
_PERMANENT = (
    "unknown model architecture",
    "file does not exist",
    "not found",
    "invalid model name",
    "requires a newer version",
    "no longer compatible",
    "requires more system memory",
    "unauthorized",
    "authentication",
    "access denied",
    "does not support",
    "unsupported model",
    "no space left on device",
)


async def digest_at(
    url: str, model: str, headers: Mapping[str, str] | None = None, trust: Path | None = None
) -> str | None:
    """The digest of a model on a server; None if the server does not answer or does not have it."""
    async with OllamaClient(url, timeout=_GLANCE_SECONDS, headers=headers, trust=trust) as client:
        try:
            found = find_model(model, await client.models())
        except HearthError:
            return None
    return found.digest if found else None


def _timeout(seconds: float) -> httpx.Timeout:
    return httpx.Timeout(seconds, connect=min(seconds, 5.0), pool=None)


def _trusting(certificate: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=certificate)
    # It is no authority's: it vouches for itself.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


class OllamaClient:
    """The calls that Hearth makes. Use as an async context manager.

    Args:
        url: of the server, such as http://127.0.0.1:11434.
        timeout: longest wait for an answer, in seconds. Ollama sends nothing at all while it works.
        headers: sent with each request, such as Authorization.
        certificate: the one that the server must show, in PEM, made out to `hearth`; None trusts what the system does.
        trust: file of the certificates by which it is trusted, where those of the system do not do.
        transport: carries the requests where no plain HTTP goes; it may raise errors of Hearth's own.

    Every method raises PassingError when the server is out of reach, busy or answers what is no JSON of
    Ollama's, and ModelError when the model is missing or cannot be loaded.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 30.0,
        headers: Mapping[str, str] | None = None,
        certificate: str | None = None,
        trust: Path | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.url = url
        # The server's address changes with each start; its name does not.
        self._extensions = {"sni_hostname": _TLS_NAME} if certificate else {}
        self._proxy = None if transport else proxy_for(url)
        # Reading the system's certificates takes a tenth of a second; plain HTTP has no use for them.
        context = _trusting(certificate) if certificate else url.startswith("https:") and trusted(trust)
        self._http = httpx.AsyncClient(
            base_url=url,
            transport=transport,
            timeout=_timeout(timeout),
            # Each request has a connection of its own: what a proxy sends twice would be the next page's answer.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
            headers=dict(headers or {}),
            verify=context,
            proxy=self._proxy,
            trust_env=False,
            event_hooks={"response": [refusing_detours(url, self._proxy)]},
        )

    async def __aenter__(self) -> Self:
        """Nothing is opened before the first call."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def version(self) -> str:
        """The server's version; the cheapest sign of life."""
        return str((await self._json("GET", "/api/version")).get("version", ""))

    async def models(self) -> tuple[Model, ...]:
        """What is on the server's disk."""
        return self._parsed(Tags, await self._json("GET", "/api/tags")).models

    async def loaded(self) -> tuple[LoadedModel, ...]:
        """What is in the server's memory."""
        return self._parsed(Loaded, await self._json("GET", "/api/ps")).models

    async def details(self, model: str) -> ModelDetails:
        """What kind of model it is."""
        return self._parsed(Shown, await self._json("POST", "/api/show", {"model": model})).details

    async def pull(self, model: str) -> AsyncIterator[PullProgress]:
        """Have the server download a model, and follow it.

        Raises:
            ModelError: there is no such model, or no room for it. Ollama says so under HTTP 200.
        """
        body = {"model": model, "stream": True}
        with self._transport_errors():
            async with self._http.stream("POST", "/api/pull", json=body, extensions=self._extensions) as response:
                if response.is_error:
                    await response.aread()
                    raise self._error(response.status_code, response.text)
                async for line in response.aiter_lines():
                    if not line.strip():
                        continue
                    step = self._decoded(line)
                    if "error" in step:
                        raise self._error(500, line)
                    yield self._parsed(PullProgress, step)

    async def load(self, request: GenerateRequest) -> None:
        """Load the model with the options of the requests to come. Returns when it is in memory."""
        await self._json("POST", "/api/generate", request.body(""))

    async def generate(
        self,
        request: GenerateRequest,
        prompt: str,
        images: tuple[bytes, ...] = (),
        temperature: float = 0.0,
        *,
        seconds: float | None = None,
    ) -> Answer:
        """Ask the model.

        Args:
            request: the options.
            prompt: what it is told.
            images: PNG files.
            temperature: 0 for the likeliest answer.
            seconds: longest wait for the whole answer; the client's timeout if None.

        Raises:
            PageError: the server refuses this very request (HTTP 400 or 413); another may pass.
        """
        content = json.dumps(request.body(prompt, images, temperature)).encode()
        try:
            # Of the whole answer: one that comes drop by drop is never silent for long.
            async with asyncio.timeout(seconds):
                decoded = await self._json("POST", "/api/generate", content, seconds)
        except TimeoutError:
            raise SilentError(f"{self.url} did not answer in time.") from None
        answer = self._parsed(Answer, decoded)
        if not answer.done:
            raise PassingError(f"{self.url} broke its answer off.")
        return answer

    async def _json(
        self, method: str, path: str, body: dict[str, Any] | bytes | None = None, seconds: float | None = None
    ) -> dict[str, Any]:
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        wait = httpx.USE_CLIENT_DEFAULT if seconds is None else _timeout(seconds)
        with self._transport_errors():
            response = await self._http.request(
                method,
                path,
                content=content,
                headers={"Content-Type": "application/json"},
                timeout=wait,
                extensions=self._extensions,
            )
        if response.is_error:
            raise self._error(response.status_code, response.text)
        decoded = self._decoded(response.text)
        if "error" in decoded:
            raise self._error(500, response.text)
        return decoded

    @contextmanager
    def _transport_errors(self) -> Iterator[None]:
        try:
            yield
        except httpx.TimeoutException:
            raise SilentError(f"{self.url} did not answer in time.") from None
        except httpx.InvalidURL as error:
            raise ServerError(f"{self.url} is not an address: {error}. Correct HEARTH_URL.") from None
        except httpx.RequestError as error:
            raise trouble(self.url, error, self._proxy, pinned=bool(self._extensions)) from None

    def _decoded(self, text: str) -> dict[str, Any]:
        try:
            decoded = json.loads(text)
        except (ValueError, RecursionError):  # no JSON, or a number or a nesting beyond Python's limits
            decoded = None
        if not isinstance(decoded, dict):
            raise PassingError(f"{self.url} answered something that is not Ollama's JSON.")
        return decoded

    def _parsed(self, model: type[W], decoded: dict[str, Any]) -> W:
        try:
            return model.model_validate(decoded)
        except ValidationError as error:
            fields = ", ".join(".".join(map(str, entry["loc"])) for entry in error.errors())
            raise PassingError(f"{self.url} answered without what Ollama always sends: {fields}.") from None

    def _error(self, status: int, body: str) -> HearthError:
        try:
            told = str(json.loads(body)["error"])
        except (ValueError, RecursionError, KeyError, TypeError):
            if status == 404:
                return ServerError(f"There is no Ollama at {self.url} (HTTP 404). Correct HEARTH_URL.")
            told = f"HTTP {status}"
        told = told.strip()[:300]
        lower = told.lower()
        if status in _PASSING_STATUS:
            return PassingError(f"{self.url} cannot answer just now: {told}.")
        if status in {401, 403}:
            sent = (
                "the token is not the server's"
                if "authorization" in self._http.headers
                else "Hearth sent no token (HEARTH_URL_TOKEN)"
            )
            return ServerError(f"{self.url} refuses access ({told}): {sent}; check the address.")
        if status == 404 or any(text in lower for text in _PERMANENT):
            return ModelError(told)
        if status in {400, 413}:
            return PageError(FailureReason.REFUSED, f"The server refuses the request: {told}.", final=True)
        return PassingError(f"{self.url} failed: {told}.")
