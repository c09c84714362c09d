"""A typed client of Ollama's HTTP API: the only module that knows its wire.

Written against Ollama v0.33 (server/routes.go, api/types.go). What its errors mean: `tasks.ollama.errors`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from tasks.core.errors import NoResponseError, TransientError
from tasks.inference.connection import JsonConnection
from tasks.inference.schema import Answer, GenerateRequest, LoadedModel, Model, ModelDetails, PullProgress
from tasks.ollama.errors import classified
from tasks.ollama.schema import Loaded, Piece, Shown, Tags, load_body, page_body
from tasks.ollama.stream import AnswerBuilder, most_bytes
from tasks.text.legible import legible


class OllamaClient:
    """The calls that Hearth makes. Use as an async context manager.

    Args:
        url: of the server, such as http://127.0.0.1:11434.
        timeout: longest wait for an answer, in seconds.
        headers: sent with each request, such as Authorization.
        certificate: the one that the server must show, in PEM, made out to `hearth`; None trusts what the system does.
        trust: file of the certificates by which it is trusted, where those of the system do not do.
        transport: carries the requests where no plain HTTP goes; it may raise errors of Hearth's own.

    Every method raises TransientError when the server is out of reach, busy or answers what is no JSON of
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
        self._seconds = timeout
        self._server = JsonConnection(
            url,
            timeout=timeout,
            headers=headers,
            certificate=certificate,
            trust=trust,
            transport=transport,
            api="Ollama",
            classify=classified,
        )

    async def __aenter__(self) -> Self:
        """Nothing is opened before the first call."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self._server.aclose()

    @property
    def downloads(self) -> bool:
        """Whether it can download models."""
        return True

    async def version(self) -> str:
        """The server's version; the cheapest sign of life."""
        return legible(str((await self._server.json("GET", "/api/version")).get("version", "")))

    async def models(self) -> tuple[Model, ...]:
        """What is on the server's disk."""
        return self._server.parsed(Tags, await self._server.json("GET", "/api/tags")).models

    async def loaded(self) -> tuple[LoadedModel, ...]:
        """What is in the server's memory."""
        return self._server.parsed(Loaded, await self._server.json("GET", "/api/ps")).models

    async def details(self, model: str) -> ModelDetails:
        """What kind of model it is."""
        return self._server.parsed(Shown, await self._server.json("POST", "/api/show", {"model": model})).all_details

    async def pull(self, model: str) -> AsyncIterator[PullProgress]:
        """Have the server download a model, and follow it.

        Raises:
            ModelError: there is no such model, or no room for it. Ollama says so under HTTP 200.
        """
        body = {"model": model, "stream": True}
        async with aclosing(self._server.objects("POST", "/api/pull", body, each=True)) as steps:
            async for step in steps:
                yield self._server.parsed(PullProgress, step)

    async def load(self, request: GenerateRequest) -> None:
        """Load the model with the options of the requests to come. Returns when it is in memory."""
        async with aclosing(self._server.objects("POST", "/api/generate", load_body(request))) as told:
            async for step in told:  # a client that goes away before the end aborts the load
                if step.get("done"):
                    return

    async def slots(self) -> int:
        """Return 0: Ollama does not tell how many requests it was started for."""
        return 0

    async def generate(
        self,
        request: GenerateRequest,
        prompt: str,
        images: tuple[bytes, ...] = (),
        temperature: float = 0.0,
        *,
        seconds: float | None = None,
    ) -> Answer:
        """Ask the model, and end the request when its text has got into a loop.

        Args:
            request: the options.
            prompt: what it is told.
            images: PNG files.
            temperature: 0 for the likeliest answer.
            seconds: longest wait for the whole answer; the client's timeout if None.

        Returns:
            The answer, not `done` if it was broken off by either side.

        Raises:
            PageError: the server refuses this very request (HTTP 400 or 413); another may pass.
        """
        seconds = self._seconds if seconds is None else seconds
        body, most = page_body(request, prompt, images, temperature), most_bytes(request.num_predict)
        path = "/api/chat" if request.chat else "/api/generate"
        building = AnswerBuilder()
        try:
            async with (
                # Of the whole answer: one that comes drop by drop is never silent for long.
                asyncio.timeout(seconds),
                aclosing(self._server.objects("POST", path, body, seconds, most=most)) as pieces,
            ):
                async for piece in pieces:
                    if building.add(self._server.parsed(Piece, piece), piece):
                        break
        except TimeoutError:
            raise NoResponseError(f"{self.url} did not answer in time.") from None
        answer = building.answer()
        if answer is None:
            raise TransientError(f"{self.url} broke its answer off.")
        return answer
