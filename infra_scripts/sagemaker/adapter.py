"""SageMaker's container contract over Ollama: GET /ping is 200 once the model is warm, POST /invocations calls Ollama.

    adapter.py serve [COMMAND...]    start Ollama (or COMMAND), warm the model up, serve until SIGTERM

A request is wrapped in an envelope, {"path": "/api/tags", "body": null}, and so is its response: {"status": 200,
"body": ""}, under HTTP 200. With "beats": true in the request, a blank is sent every few seconds until the response is
complete: a streamed response may take eight minutes, a silent one a minute. A body of /api/generate without an envelope
is sent to Ollama, and its response is returned unchanged, including its status.

SageMaker's contract (docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html): it runs the image
with `serve`, calls /ping from the start (2 seconds for a response), aborts invocations after 60 seconds, or 480 if they
stream, and sends SIGTERM 30 seconds before SIGKILL.

It needs starlette, uvicorn and httpx, and nothing of Hearth. The environment:
    HEARTH_MODEL             Ollama's name of the model, which is pulled if it is missing
    HEARTH_MODEL_DIGEST      beginning of its digest; a model with another digest ends the container
    HEARTH_NUM_CTX           context length with which it is loaded, tokens; a request with another one reloads it
    HEARTH_REQUIRE_GPU       true: a model that runs on the CPU alone ends the container; Ollama falls back silently
    HEARTH_ANSWER_SECONDS    longest time for a response, seconds; then its slot is free again
    HEARTH_BEAT_SECONDS      time between two blanks, seconds, 10 if unset
    HEARTH_BIND              address to listen on, 0.0.0.0 if unset
    OLLAMA_HOST              address of Ollama
    OLLAMA_MODELS            directory of its models, unless HEARTH_STORE contains a store
    HEARTH_STORE             directory of SageMaker's model data, /opt/ml/model if unset
    SAGEMAKER_BIND_TO_PORT   port of the adapter, 8080 if unset
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

METHODS = {
    "/api/version": "GET",
    "/api/tags": "GET",
    "/api/ps": "GET",
    "/api/show": "POST",
    "/api/generate": "POST",
}
"""The permitted calls. Callers must not pull or delete models."""
_PING_SECONDS = 1.5
_STOP_SECONDS = 25
_POLL_SECONDS = 0.1


def log(text: str) -> None:
    """Print a line, which SageMaker sends to CloudWatch."""
    print(text, flush=True)  # noqa: T201


class Adapter:
    """The web application and its Ollama process, which the command starts in the environment that is listed above."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self._command = command
        self._model = environment["HEARTH_MODEL"]
        self._digest = environment.get("HEARTH_MODEL_DIGEST", "")
        self._num_ctx = int(environment.get("HEARTH_NUM_CTX", "8192"))
        self._require_gpu = environment.get("HEARTH_REQUIRE_GPU") == "true"
        self._seconds = float(environment.get("HEARTH_ANSWER_SECONDS", "3600"))
        self._beat = float(environment.get("HEARTH_BEAT_SECONDS", "10"))
        host = environment.setdefault("OLLAMA_HOST", "127.0.0.1:11434")
        store = Path(environment.get("HEARTH_STORE", "/opt/ml/model"))
        if (store / "manifests").is_dir():
            # SageMaker mounts it read-only, and Ollama would try to prune it.
            environment |= {"OLLAMA_MODELS": str(store), "OLLAMA_NOPRUNE": "1"}
        self._environment = environment
        self._ollama = httpx.AsyncClient(base_url=f"http://{host}", timeout=None, trust_env=False)  # noqa: S113
        self._warm = False
        self.failed = False
        self.stop: Callable[[], None] = lambda: None
        routes = [Route("/ping", self.ping), Route("/invocations", self.invocations, methods=["POST"])]
        self.app = Starlette(routes=routes, lifespan=self._lifespan)

    async def ping(self, _request: Request) -> Response:
        """Return 200 once pages can be read; 503 before, and whenever Ollama does not respond."""
        if not self._warm:
            return Response("the model is not warm yet", 503)
        try:
            (await self._ollama.get("/api/version", timeout=_PING_SECONDS)).raise_for_status()
        except httpx.HTTPError as error:
            return Response(f"Ollama does not respond: {error!r}", 503)
        return Response("warm")

    async def invocations(self, request: Request) -> Response:
        """Call Ollama with the request's body or envelope."""
        try:
            envelope = json.loads(await request.body())
        except ValueError:
            envelope = None
        if not isinstance(envelope, dict):
            return JSONResponse({"error": "the body is not a JSON object"}, 400)
        if "path" not in envelope:
            return await self._while_connected(request, "/api/generate", envelope)
        pending = asyncio.create_task(self._enveloped(request, envelope))
        if envelope.get("beats"):
            return StreamingResponse(self._beating(pending), media_type="application/json")
        return Response(await pending, media_type="application/json")

    async def _beating(self, pending: asyncio.Task[bytes]) -> AsyncIterator[bytes]:
        """Yield blanks, which JSON ignores, until the response is complete, and then the response."""
        try:
            while not (await asyncio.wait({pending}, timeout=self._beat))[0]:
                yield b" "
            yield pending.result()
        finally:
            pending.cancel()

    async def _enveloped(self, request: Request, envelope: dict[str, Any]) -> bytes:
        response = await self._while_connected(request, envelope["path"], envelope.get("body"))
        return json.dumps({"status": response.status_code, "body": bytes(response.body).decode()}).encode()

    async def _while_connected(self, request: Request, path: object, body: Any) -> Response:  # noqa: ANN401 - any JSON
        """Call Ollama until the caller disconnects: a slot must not work in vain."""
        calling = asyncio.create_task(self._call(path, body))
        gone = asyncio.create_task(_disconnected(request))
        try:
            await asyncio.wait({calling, gone}, timeout=self._seconds, return_when=asyncio.FIRST_COMPLETED)
            if calling.done():
                return calling.result()
            late = f"no response within the endpoint's {self._seconds:g} s"
            return JSONResponse({"error": "the caller has disconnected" if gone.done() else late}, 504)
        finally:
            calling.cancel()
            gone.cancel()

    async def _call(self, path: object, body: Any) -> Response:  # noqa: ANN401
        method = METHODS.get(path) if isinstance(path, str) else None
        if method is None:
            return JSONResponse({"error": f"this endpoint has no {path}; it serves {self._model}"}, 404)
        if path == "/api/generate" and isinstance(body, dict):
            # AWS removes the model together with the instance.
            body = {**body, "keep_alive": -1, "stream": False}
        try:
            response = await self._ollama.request(method, str(path), json=body)
        except httpx.HTTPError as error:
            return JSONResponse({"error": f"Ollama cannot be reached: {error!r}"}, 503)
        return Response(response.content, response.status_code, media_type="application/json")

    @asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        """Start Ollama and the warm-up without waiting: /ping must respond from the start."""
        process = await asyncio.create_subprocess_exec(*self._command, env=self._environment)
        work = asyncio.create_task(self._serve(process))
        try:
            yield
        finally:
            work.cancel()
            with suppress(ProcessLookupError):
                process.terminate()
            await process.wait()
            await self._ollama.aclose()

    async def _serve(self, process: asyncio.subprocess.Process) -> None:
        """Warm the model up, and stop when Ollama ends, so that SageMaker starts another container."""
        warming = asyncio.create_task(self._warm_up())
        ending = asyncio.create_task(process.wait())
        try:
            await asyncio.wait({warming, ending}, return_when=asyncio.FIRST_COMPLETED)
            if warming.done() and (error := warming.exception()) is not None:
                log(f"{self._model} cannot be served: {error!r}")
            else:
                code = await ending
                log(f"Ollama ended with exit code {code}")
        finally:
            warming.cancel()
            ending.cancel()
        self._warm, self.failed = False, True
        self.stop()

    async def _warm_up(self) -> None:
        """Wait for Ollama, pull the model if it is missing, and load it with the options of the pages."""
        while True:
            with suppress(httpx.TransportError):
                await self._ollama.get("/api/version")
                break
            await asyncio.sleep(_POLL_SECONDS)
        shown = await self._ollama.post("/api/show", json={"model": self._model})
        if shown.status_code == 404:
            log(f"pulling {self._model}")
            await self._post("/api/pull", {"model": self._model, "stream": False})
        listed = (await self._ollama.get("/api/tags")).json()["models"]
        name = self._model if ":" in self._model.rpartition("/")[2] else f"{self._model}:latest"
        found = next((model["digest"] for model in listed if model["name"].lower() == name.lower()), "")
        if not found.startswith(self._digest):
            raise RuntimeError(f"{name} has the digest {found}, not {self._digest}")
        log(f"loading {self._model}")
        load = {"model": self._model, "prompt": "", "stream": False, "keep_alive": -1}
        await self._post("/api/generate", {**load, "options": {"num_ctx": self._num_ctx}})
        in_gpu = [model.get("size_vram", 0) for model in (await self._ollama.get("/api/ps")).json()["models"]]
        if self._require_gpu and not any(in_gpu):
            raise RuntimeError("it runs on the CPU: the instance has no GPU, or its driver is too old for Ollama")
        log(f"{self._model} is warm, {sum(in_gpu) / 1e9:.1f} GB of it in GPU memory")
        self._warm = True

    async def _post(self, path: str, body: dict[str, Any]) -> None:
        response = await self._ollama.post(path, json=body)
        if response.is_error or "error" in response.json():
            raise RuntimeError(response.text[:500])


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def main(arguments: list[str]) -> int:
    """Serve until SIGTERM; return the exit code: 1 if the model cannot be served, 2 for wrong arguments."""
    if arguments[:1] != ["serve"]:
        log(f"usage: adapter.py serve [COMMAND...], not {arguments}")
        return 2
    adapter = Adapter(arguments[1:] or ["ollama", "serve"], dict(os.environ))
    config = uvicorn.Config(
        adapter.app,
        host=os.environ.get("HEARTH_BIND", "0.0.0.0"),  # noqa: S104 - SageMaker alone reaches the container
        port=int(os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080")),
        log_level="warning",
        timeout_graceful_shutdown=_STOP_SECONDS,
        timeout_keep_alive=75,  # longer than an invocation
    )
    server = uvicorn.Server(config)
    adapter.stop = lambda: setattr(server, "should_exit", True)
    # uvicorn stops on SIGTERM and then sends the signal to itself again, which is ignored here.
    signal.signal(signal.SIGTERM, lambda *_: None)
    server.run()
    return 1 if adapter.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
