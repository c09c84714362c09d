"""The client that a server needs: of the API that is named, or of the one that it answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Self

import httpx

from tasks.core.errors import HearthError, ServerError, ServerFaultError, TransientError, UnreadableError
from tasks.inference.api import Api
from tasks.inference.client import InferenceClient
from tasks.inference.names import find_model
from tasks.inference.schema import PullProgress
from tasks.ollama.client import OllamaClient
from tasks.openai.client import OpenAIClient

DIGEST_SECONDS = 3.0
"""Longest wait for a digest that is nice to know before a server is acquired."""


def new_client(
    api: Api,
    url: str,
    *,
    timeout: float,
    headers: Mapping[str, str] | None = None,
    certificate: str | None = None,
    trust: Path | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> InferenceClient:
    """Return a client of a server by its API; `AUTO` finds it out at the first call. Use as an async context manager.

    The client waits `timeout` seconds for an answer; the rest is as for `JsonConnection`.
    """
    made: list[InferenceClient] = [
        client(url, timeout=timeout, headers=headers, certificate=certificate, trust=trust, transport=transport)
        for client, speaks in ((OllamaClient, Api.OLLAMA), (OpenAIClient, Api.OPENAI))
        if api in {speaks, Api.AUTO}
    ]
    return DetectingClient(url, *made) if api is Api.AUTO else made[0]


async def fetch_digest(client: InferenceClient, model: str) -> str | None:
    """Return the digest of a model on a server, and close the client; None if the server does not answer or have it."""
    async with client:
        try:
            listed = find_model(model, await client.models())
        except HearthError:
            return None
    return listed.digest if listed else None


def _delegated(name: str) -> Callable[..., Coroutine[Any, Any, Any]]:
    """Return a method that calls that of the client whose API the server answers."""

    async def method(self: DetectingClient, *arguments: object, **named: object) -> object:
        return await getattr(await self._client(), name)(*arguments, **named)

    return method


class DetectingClient:
    """A client of Ollama's API, or of OpenAI's, whichever the server answers."""

    def __init__(self, url: str, ollama: InferenceClient, openai: InferenceClient) -> None:
        self.url = url
        self._ollama = ollama
        self._openai = openai
        self._found: InferenceClient | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._ollama.__aexit__(*_)
        await self._openai.__aexit__(*_)

    async def _client(self) -> InferenceClient:
        """Return the client of the API that the server answers: /api/version is Ollama's alone, /v1/models is both's.

        Raises:
            ServerError: it speaks neither.
            TransientError: it does not answer just now.
        """
        if self._found is None:
            try:
                await self._ollama.version()
                self._found = self._ollama
            except HearthError as error:
                if isinstance(error, TransientError) and not isinstance(error, ServerFaultError | UnreadableError):
                    raise
                await self._try_openai(error)
                self._found = self._openai
        return self._found

    async def _try_openai(self, error: HearthError) -> None:
        try:
            await self._openai.models()
        except TransientError:
            raise
        except HearthError as other:
            if "HTTP 404" in str(other):
                raise ServerError(
                    f"{self.url} answers neither Ollama's API (/api/version) nor OpenAI's (/v1/models). "
                    "Correct HEARTH_URL."
                ) from None
            raise (other if "HTTP 404" in str(error) else error) from None

    @property
    def downloads(self) -> bool:
        """See `InferenceClient`; of the one that answered."""
        return self._found is not self._openai

    async def pull(self, model: str) -> AsyncIterator[PullProgress]:
        """See `InferenceClient`."""
        async for step in (await self._client()).pull(model):
            yield step

    version = _delegated("version")
    models = _delegated("models")
    loaded = _delegated("loaded")
    details = _delegated("details")
    load = _delegated("load")
    slots = _delegated("slots")
    generate = _delegated("generate")
