"""The client that a server needs: of the API that is named, or of the one that it answers."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Self

import httpx

from tasks.core.errors import HearthError, ServerError, ServerFaultError, TransientError, UnreadableError
from tasks.inference.api import Api
from tasks.inference.client import InferenceClient
from tasks.inference.limits import AnswerLimits
from tasks.inference.names import find_model
from tasks.inference.schema import Answer, GenerateRequest, LoadedModel, Model, ModelDetails, PullProgress
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
    """Return a client of a server. Use as an async context manager.

    Args:
        api: that it speaks; `AUTO` finds out at the first call.
        url: of the server.
        timeout: longest wait for an answer, seconds.
        headers: sent with each request.
        certificate: see `OllamaClient`.
        trust: see `OllamaClient`.
        transport: see `OllamaClient`.
    """
    made: list[InferenceClient] = [
        client(url, timeout=timeout, headers=headers, certificate=certificate, trust=trust, transport=transport)
        for client, speaks in ((OllamaClient, Api.OLLAMA), (OpenAIClient, Api.OPENAI))
        if api in {speaks, Api.AUTO}
    ]
    return DetectingClient(url, *made) if api is Api.AUTO else made[0]


async def fetch_digest(client: InferenceClient, model: str) -> str | None:
    """Return the digest of a model on a server; None if the server does not answer or does not have it.

    Args:
        client: of the server; it is closed.
        model: the model's name.
    """
    async with client:
        try:
            listed = find_model(model, await client.models())
        except HearthError:
            return None
    return listed.digest if listed else None


class DetectingClient:
    """A client of Ollama's API, or of OpenAI's, whichever the server answers.

    Args:
        url: of the server.
        ollama: client of the one.
        openai: client of the other.
    """

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

    async def version(self) -> str:
        """See `InferenceClient`."""
        return await (await self._client()).version()

    async def models(self) -> tuple[Model, ...]:
        """See `InferenceClient`."""
        return await (await self._client()).models()

    async def loaded(self) -> tuple[LoadedModel, ...]:
        """See `InferenceClient`."""
        return await (await self._client()).loaded()

    async def details(self, model: str) -> ModelDetails:
        """See `InferenceClient`."""
        return await (await self._client()).details(model)

    async def pull(self, model: str) -> AsyncIterator[PullProgress]:
        """See `InferenceClient`."""
        async for step in (await self._client()).pull(model):
            yield step

    async def load(self, request: GenerateRequest) -> None:
        """See `InferenceClient`."""
        await (await self._client()).load(request)

    async def slots(self) -> int:
        """See `InferenceClient`."""
        return await (await self._client()).slots()

    async def generate(
        self,
        request: GenerateRequest,
        prompt: str,
        images: tuple[bytes, ...] = (),
        temperature: float = 0.0,
        *,
        limits: AnswerLimits | None = None,
    ) -> Answer:
        """See `InferenceClient`."""
        return await (await self._client()).generate(request, prompt, images, temperature, limits=limits)
