"""A real HTTP server with scripted answers, which otherwise answers like an Ollama with one model loaded."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from tests.support.in_thread import in_thread
from tests.support.ollama.wire import AT_REST, LOADED, MODEL, Body, page_answer


@dataclass(frozen=True)
class Say:
    """An answer: its bytes, sent `after` seconds, and cut off before their announced end if `cut`.

    A page's answer is streamed to whoever asks for a stream, unless it is to be `whole`; `chunks` are sent instead of
    the bytes, for as long as the client listens.
    """

    content: bytes
    status: int = 200
    after: float = 0.0
    cut: bool = False
    whole: bool = False
    chunks: Callable[[], AsyncIterator[bytes]] | None = None
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})


_ABSENT = Say(b"404 page not found", 404, headers={"Content-Type": "text/plain"})
Answer = Say | Callable[[Body], Awaitable[Say]]


def says(**fields: Any) -> Say:
    """Return JSON under HTTP 200."""
    return Say(json.dumps(fields).encode())


def fails(status: int, text: str) -> Say:
    """Return an error in Ollama's form."""
    return replace(says(error=text), status=status)


def lines(*objects: Body) -> Say:
    """Return NDJSON, the form of streams."""
    return Say(b"".join(json.dumps(each).encode() + b"\n" for each in objects))


def piece(text: str, **fields: Any) -> bytes:
    """Return a line of a streamed answer."""
    return json.dumps({"model": MODEL, "response": text, "done": False} | fields).encode() + b"\n"


def streams(*chunks: bytes) -> Say:
    """Return an answer that is sent in these chunks."""

    async def sent() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    return Say(b"", chunks=sent)


def cut(content: bytes = b'{"response": "Hel') -> Say:
    """Return an answer during which the connection breaks."""
    return Say(content, cut=True)


def reads(text: str = "Hello.", **fields: Any) -> Say:
    """Return a page's answer that took a second, half of it for writing."""
    return says(**page_answer(text, **fields))


def serving(slots: int, seconds: float) -> Callable[[Body], Awaitable[Say]]:
    """Answers that take `seconds`, `slots` of them at once; the others wait inside the server, as in Ollama."""
    free = asyncio.Semaphore(slots)

    async def serve(body: Body) -> Say:
        if not body["prompt"]:
            return says(**LOADED)
        arrived = time.perf_counter_ns()
        async with free:
            started = time.perf_counter_ns()
            await asyncio.sleep(seconds)
            ended = time.perf_counter_ns()
        spent = {"prompt_eval_duration": (ended - started) // 4, "eval_duration": (ended - started) * 3 // 4}
        at = datetime.now(UTC).isoformat()
        return reads(created_at=at, total_duration=ended - arrived, load_duration=0, **spent)

    return serve


class ScriptedOllama:
    """The server.

    Attributes:
        url: its address.
        calls: the path and the JSON of each request, in the order of arrival.
        headers: of each request.
        elsewhere: the answer to a path that is not scripted.
    """

    def __init__(self) -> None:
        self.url = ""
        self.reset()

    def reset(self) -> None:
        """Forget all calls, and answer like an idle Ollama again."""
        self.calls: list[tuple[str, Body]] = []
        self.headers: list[Headers] = []
        self.elsewhere = _ABSENT
        self._script: dict[str, list[Answer]] = {path: [says(**fields)] for path, fields in AT_REST.items()}
        self._script |= {
            "/api/pull": [lines({"status": "success"})],
            "/api/generate": [reads()],
        }

    def answers(self, path: str, *answers: Answer) -> None:
        """Set the answers to the next requests; the last one is repeated."""
        self._script[path] = list(answers)

    def asked(self, path: str) -> list[Body]:
        """Return the JSON of the requests to a path."""
        return [body for called, body in self.calls if called == path]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application."""
        request = Request(scope, receive)
        content = await request.body()
        body = json.loads(content) if content else {}
        path = scope["path"]
        self.calls.append((path, body))
        self.headers.append(request.headers)
        script = self._script.get(path, [self.elsewhere])
        answer = script.pop(0) if len(script) > 1 else script[0]
        say = answer if isinstance(answer, Say) else await answer(body)
        await asyncio.sleep(say.after)
        if say.chunks is not None:
            await StreamingResponse(say.chunks(), say.status, say.headers)(scope, receive, send)
            return
        content = _as_stream(say) if body.get("stream") is True else say.content
        missing = 100 if say.cut else 0
        headers = say.headers | {"Content-Length": str(len(content) + missing)}

        async def sent() -> AsyncIterator[bytes]:
            yield content

        # An answer shorter than announced makes the server break the connection.
        await StreamingResponse(sent(), say.status, headers)(scope, receive, send)


def _as_stream(say: Say) -> bytes:
    """Return a page's answer as a stream of a few words a line, and any other answer unchanged."""
    try:
        whole = json.loads(say.content)
        words = re.findall(r"\s*\S+|\s+", whole["response"]) if whole["done"] is True else []
    except (ValueError, LookupError, TypeError, RecursionError):
        return say.content
    if say.whole or say.cut or not words:
        return say.content
    return b"".join([*map(piece, words), json.dumps(whole | {"response": ""}).encode(), b"\n"])


@contextmanager
def scripted_ollama() -> Iterator[ScriptedOllama]:
    """Yield a scripted server on a free port of this machine, in a thread."""
    with in_thread(ScriptedOllama()) as app:
        yield app
