"""A gateway before a server that speaks OpenAI's API: it checks a token, counts requests, and fails on purpose."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from tests.support.in_thread import in_thread
from tests.support.openai.scripted import CHAT

OWN = "x-run"
"""Header by which a run can be told from others."""


@dataclass
class Passed:
    """A request for a completion that was passed on: its run and most tokens, and its times on the monotonic clock."""

    run: str
    tokens: int
    began: float
    ended: float | None = None


@dataclass
class Gateway:
    """The application.

    Attributes:
        upstream: URL of the server.
        trouble: is called with each request's path and its number among those of the path, counted from 1; returns the
            answer to give instead of the server's, or None.
        cut: numbers of completions of which the client gets a few events and then a closed connection.
        token: that requests must carry.
        together: runs of which none gets a completion before each has asked for one.
        hidden: paths that it does not pass on, as gateways pass on the API alone.
        url: where it is reached.
        passed: completions that were passed on.
    """

    upstream: str
    trouble: Callable[[str, int], Response | None] = lambda _path, _number: None
    cut: frozenset[int] = frozenset()
    token: str = ""
    together: frozenset[str] = frozenset()
    hidden: tuple[str, ...] = ()
    url: str = ""
    passed: list[Passed] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        request = Request(scope, receive)
        await (await self._answer(request))(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        path = request.url.path
        self.counts[path] += 1
        number = self.counts[path]
        if self.token and request.headers.get("authorization") != f"Bearer {self.token}":
            return refusal(401, "Invalid API key")
        if path in self.hidden:
            return refusal(404, "Not found")
        if (answer := self.trouble(path, number)) is not None:
            return answer
        content = await request.body()
        tokens = json.loads(content)["max_tokens"] if path == CHAT else 0
        note = Passed(request.headers.get(OWN, ""), tokens, time.monotonic())
        if path == CHAT:
            self.passed.append(note)
            while not self.together <= {other.run for other in self.passed}:
                await asyncio.sleep(0.05)
        client = httpx.AsyncClient(base_url=self.upstream, timeout=None, trust_env=False)
        try:
            sent = client.build_request(
                request.method, path, content=content, headers={"Content-Type": "application/json"}
            )
            response = await client.send(sent, stream=True)
        except httpx.HTTPError:
            await client.aclose()
            return refusal(502, "Bad gateway")

        async def body() -> AsyncIterator[bytes]:
            try:
                async for events, chunk in _counted(response):
                    if path == CHAT and number in self.cut and events > 3:
                        raise ConnectionResetError
                    yield chunk
            finally:
                note.ended = time.monotonic()
                await response.aclose()
                await client.aclose()

        kind = response.headers.get("content-type", "application/json")
        return StreamingResponse(body(), response.status_code, {"Content-Type": kind})

    def most_at_once(self, tokens: int) -> int:
        """Return the most completions of so many tokens that were with the server at one moment."""
        passed = [note for note in self.passed if note.tokens == tokens]
        steps = [(note.began, 1) for note in passed] + [(note.ended or note.began, -1) for note in passed]
        most = now = 0
        for _, step in sorted(steps):
            now += step
            most = max(most, now)
        return most


def refusal(status: int, message: str, **headers: str) -> Response:
    """Return an error in OpenAI's form."""
    return JSONResponse({"error": {"code": status, "message": message}}, status, headers)


async def _counted(response: httpx.Response) -> AsyncIterator[tuple[int, bytes]]:
    events = 0
    async for chunk in response.aiter_raw():
        events += chunk.count(b"data:")
        yield events, chunk
        await asyncio.sleep(0)


@contextmanager
def gateway(upstream: str, **options: object) -> Iterator[Gateway]:
    """Yield a gateway on a free port of this machine, in a thread."""
    with in_thread(Gateway(upstream, **options)) as app:  # type: ignore[arg-type]  # its own fields
        yield app


def loading(requests: int) -> Callable[[str, int], Response | None]:
    """Return a trouble: for so many requests of each path, the model is being loaded, in llama-server's words."""

    def trouble(_path: str, number: int) -> Response | None:
        body = {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}
        return Response(json.dumps(body), 503, media_type="application/json") if number <= requests else None

    return trouble
