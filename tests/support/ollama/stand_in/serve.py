"""A stand-in for the program `ollama`: its process, its environment and its API are Ollama's, its models made up.

`ollama serve` listens where OLLAMA_HOST says and hands requests to a llama-server that it starts as its child, with
OLLAMA_NUM_PARALLEL slots. As with the real one, a child outlives a parent that is killed, and is replaced when it is
killed itself; a model is loaded at its first use, anew for another context, and unloaded after its keep-alive.

It serves what Hearth asks for: /api/version, tags, show, ps, pull and generate.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.support.ollama.stand_in import api
from tests.support.ollama.stand_in.api import Fields
from tests.support.ollama.stand_in.runner import Runner, RunnerError
from tests.support.ollama.stand_in.scheduler import Scheduler
from tests.support.ollama.stand_in.weights import CONTEXT_LENGTH, MODELS

VERSION = "0.33.0"
DEFAULT_CONTEXT = 4096
Pieces = AsyncGenerator[Fields, None]
MOST_EQUAL_TOKENS = 30
"""After more Ollama breaks an answer off, without an end."""


class Ollama:
    """The API."""

    def __init__(self, slots: int) -> None:
        self._scheduler = Scheduler(slots)

    def app(self) -> Starlette:
        """Make the application."""

        @asynccontextmanager
        async def lifespan(_: Starlette) -> AsyncIterator[None]:
            yield
            await self._scheduler.unload()

        routes = [
            Route("/", lambda _: PlainTextResponse("Ollama is running")),
            Route("/api/version", lambda _: api.reply({"version": VERSION})),
            Route("/api/tags", lambda _: api.reply({"models": [api.listed(model) for model in MODELS.values()]})),
            Route("/api/ps", self._ps),
            Route("/api/show", self._show, methods=["POST"]),
            Route("/api/pull", self._pull, methods=["POST"]),
            Route("/api/generate", self._generate, methods=["POST"]),
        ]
        return Starlette(routes=routes, lifespan=lifespan)

    async def _ps(self, _: Request) -> Response:
        runner = self._scheduler.runner
        if runner is None:
            return api.reply({"models": []})
        expires = datetime.fromtimestamp(time.time() + abs(self._scheduler.keep_alive), UTC).isoformat()
        entry = api.listed(runner.model) | {"size_vram": 0, "context_length": runner.num_ctx, "expires_at": expires}
        return api.reply({"models": [entry]})

    async def _show(self, request: Request) -> Response:
        model = api.find(await request.json())
        if model is None:
            return api.failure(404, "model not found")
        info = {"general.architecture": model.family, f"{model.family}.context_length": CONTEXT_LENGTH}
        about = {"details": model.details, "model_info": info, "capabilities": api.capabilities(model)}
        return api.reply(about | {"modified_at": api.now()})

    async def _pull(self, request: Request) -> Response:
        body = await request.json()
        found = {"status": "success"} if api.find(body) else {"error": "pull model manifest: file does not exist"}
        if body.get("stream", True):
            return StreamingResponse(map(api.line, [{"status": "pulling manifest"}, found]), media_type=api.NDJSON)
        return api.reply(found, 200 if "status" in found else 500)

    async def _generate(self, request: Request) -> Response:
        arrived = time.monotonic_ns()
        body = await request.json()
        model = api.find(body)
        if model is None:
            return api.failure(404, f"model '{body.get('model', '')}' not found")
        if "keep_alive" in body:
            self._scheduler.keep_alive = api.seconds(body["keep_alive"])
        head = {"model": body["model"], "created_at": api.now()}
        if not body.get("prompt") and body.get("keep_alive") == 0:
            await self._scheduler.unload()
            return api.reply(head | {"response": "", "done": True, "done_reason": "unload"})
        options = body.get("options") or {}
        try:
            runner = await self._scheduler.acquire(model, min(options.get("num_ctx", DEFAULT_CONTEXT), CONTEXT_LENGTH))
        except RunnerError as error:
            return api.failure(error.status, str(error))
        if not body.get("prompt"):
            self._scheduler.release(runner)
            return api.reply(head | {"response": "", "done": True, "done_reason": "load"})
        answer = self._answer(runner, api.question(body, options), arrived, time.monotonic_ns())
        if body.get("stream", True):
            return await _streamed(head, answer)
        return await _heard(request, _whole(head, answer))

    async def _answer(self, runner: Runner, question: Fields, arrived: int, loaded: int) -> Pieces:
        """Give pieces of the answer, and the fields that end it; none if one token is repeated too often."""
        reason, previous, equal = "", None, 0
        try:
            async for event in runner.events(question):
                for choice in event["choices"]:
                    reason = choice["finish_reason"] or reason
                    if piece := choice["delta"].get("content"):
                        yield {"response": piece, "done": False}
                        equal = equal + 1 if piece == previous else 0
                        previous = piece
                        if equal >= MOST_EQUAL_TOKENS:
                            return
                if timings := event.get("timings"):
                    yield {"response": "", "done": True, "done_reason": reason} | api.numbers(timings, arrived, loaded)
        finally:
            self._scheduler.release(runner)


async def _whole(head: Fields, answer: Pieces) -> Response:
    text, last = "", {"done": False}
    try:
        async with aclosing(answer):
            async for part in answer:
                text += part["response"]
                last = part
    except RunnerError as error:
        return api.failure(error.status, str(error))
    return api.reply(head | last | {"response": text})


async def _streamed(head: Fields, answer: Pieces) -> Response:
    """Stream the answer. An error before its first piece has its own status."""
    try:
        first = await anext(answer)
    except RunnerError as error:
        return api.failure(error.status, str(error))

    async def lines() -> AsyncIterator[bytes]:
        yield api.line(head | first)
        try:
            async with aclosing(answer):
                async for part in answer:
                    yield api.line(head | part)
        except RunnerError as error:
            yield api.line({"error": str(error)})

    return StreamingResponse(lines(), media_type=api.NDJSON)


async def _heard(request: Request, answering: Any) -> Response:
    """Answer, unless the client goes away first."""
    answer, gone = asyncio.ensure_future(answering), asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
        return await answer if answer.done() else api.failure(499, "request canceled")
    finally:
        answer.cancel()
        gone.cancel()


def _address() -> tuple[str, int]:
    host, _, port = os.environ.get("OLLAMA_HOST", "").removeprefix("http://").rstrip("/").partition(":")
    return host or "127.0.0.1", int(port or 11434)


def main(arguments: list[str]) -> int:
    """Run `ollama serve` or `ollama --version`."""
    if arguments == ["--version"]:
        sys.stdout.write(f"ollama version is {VERSION}\n")
        return 0
    if arguments != ["serve"]:
        sys.stderr.write("Error: this stand-in has `serve` and `--version` alone\n")
        return 1
    host, port = _address()
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(512)
    except OSError:
        sys.stderr.write(f"Error: listen tcp {host}:{port}: bind: address already in use\n")
        return 1
    sys.stderr.write(f"Listening on {host}:{listener.getsockname()[1]} (version {VERSION})\n")
    sys.stderr.flush()
    app = Ollama(int(os.environ.get("OLLAMA_NUM_PARALLEL") or "1")).app()
    uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1)).run([listener])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
