"""The ASGI application and its server."""

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import quote

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response

from tasks.embedded.catalog import Catalog
from tasks.embedded.embeddings import Embeddings
from tasks.embedded.engine import Engine
from tasks.embedded.errors import RequestError
from tasks.embedded.guards import LocalOriginsOnly
from tasks.embedded.inference import Inference
from tasks.embedded.library import Library
from tasks.embedded.models import Store
from tasks.embedded.openai import OpenAI
from tasks.embedded.replies import failure, reply
from tasks.embedded.routing import route, unrouted
from tasks.embedded.runners import Runners, Slots

VERSION = "0.33.0+embedded"
"""The version of Ollama whose API this is, with a mark."""

MAX_BODY_BYTES = 100_000_000
"""Ollama has no limit. Decoding a body of this size blocks the server for about half a second."""

GRACE_S = 3
"""Seconds that a stopping server waits for the pages it is reading."""

DEFAULT_KEEP_ALIVE_S = 300.0
DEFAULT_MAX_QUEUE = 512

log = logging.getLogger(__name__)
Respond = Callable[[bytes], Awaitable[Response]]


def build_app(
    store: Store,
    engine: Engine,
    *,
    num_parallel: int,
    keep_alive: float = DEFAULT_KEEP_ALIVE_S,
    max_queue: int = DEFAULT_MAX_QUEUE,
) -> Starlette:
    """Return the ASGI application, with the limits OLLAMA_NUM_PARALLEL, OLLAMA_KEEP_ALIVE and OLLAMA_MAX_QUEUE."""
    slots = Slots(num_parallel)
    runners = Runners(engine, slots, keep_alive=keep_alive, max_queue=max_queue)
    catalog, library, inference = Catalog(store, runners), Library(store), Inference(store, runners, slots)
    embeddings, openai = Embeddings(store), OpenAI(store, inference)

    async def root(_: Request) -> Response:
        return PlainTextResponse("Ollama is running")

    async def version(_: Request) -> Response:
        return reply({"version": VERSION})

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        runners.close()
        slots.close()

    app = Starlette(
        routes=[
            route("/", root, "HEAD", "GET"),
            route("/api/version", version, "HEAD", "GET"),
            route("/api/tags", catalog.tags, "HEAD", "GET"),
            route("/api/ps", catalog.ps, "GET"),
            route("/api/show", _with_body(catalog.show), "POST"),
            route("/api/pull", _with_body(library.pull), "POST"),
            route("/api/push", _with_body(library.push), "POST"),
            route("/api/create", _with_body(library.create), "POST"),
            route("/api/copy", _with_body(library.copy), "POST"),
            route("/api/delete", _with_body(library.delete), "DELETE"),
            route("/api/generate", _logged(inference.generate), "POST"),
            route("/api/chat", _logged(inference.chat), "POST"),
            route("/api/embed", _with_body(embeddings.embed), "POST"),
            route("/api/embeddings", _with_body(embeddings.embeddings), "POST"),
            route("/v1/models", openai.models, "GET"),
            route("/v1/models/{model}", openai.model, "GET"),
            route("/v1/chat/completions", _logged(openai.chat), "POST"),
            route("/v1/embeddings", _with_body(embeddings.openai), "POST"),
        ],
        exception_handlers={HTTPException: unrouted},
        middleware=[Middleware(LocalOriginsOnly)],
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    return app


def serve(listener: socket.socket, app: Starlette) -> None:
    """Serve on a listening socket until SIGTERM or SIGINT, and up to GRACE_S longer for pages in work."""
    config = uvicorn.Config(app, access_log=False, log_config=None, timeout_graceful_shutdown=GRACE_S)
    with suppress(KeyboardInterrupt):  # uvicorn sends itself the signal again once it has stopped
        uvicorn.Server(config).run([listener])


def _with_body(respond: Respond) -> Callable[[Request], Awaitable[Response]]:
    """Return an endpoint that reads the body and answers, unless the client goes away or the server stops."""

    async def endpoint(request: Request) -> Response:
        try:
            body = await _read_body(request)
        except ClientDisconnect:
            return _gone()
        if len(body) > MAX_BODY_BYTES:
            return failure(413, f"request body larger than {MAX_BODY_BYTES} bytes")
        work = asyncio.ensure_future(respond(body))
        gone = asyncio.ensure_future(request.receive())  # the next message is the disconnection
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            return work.result() if work.done() else _gone()
        except RequestError as error:
            return failure(error.status, str(error))
        except OSError as error:
            return failure(500, str(error))
        except asyncio.CancelledError:
            return failure(503, "server is shutting down")
        finally:
            work.cancel()
            gone.cancel()

    return endpoint


async def _read_body(request: Request) -> bytes:
    """Return the body, or as much of it as shows that it is too large."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            break
    return bytes(body)


def _gone() -> Response:
    """Return what the log shows for a client that went away."""
    return failure(499, "request canceled")


def _logged(respond: Respond) -> Callable[[Request], Awaitable[Response]]:
    answer = _with_body(respond)

    async def endpoint(request: Request) -> Response:
        started = time.monotonic()
        response = await answer(request)
        seconds = time.monotonic() - started
        log.info("%s %s %d %.3fs", request.method, quote(request.url.path), response.status_code, seconds)
        return response

    return endpoint
