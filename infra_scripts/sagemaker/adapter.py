"""SageMaker's container contract over Ollama: GET /ping is 200 once the model is warm, POST /invocations asks Ollama.

    adapter.py serve [COMMAND...]    start Ollama (or COMMAND), get the model warm, serve until SIGTERM

A call travels in an envelope, {"path": "/api/tags", "body": null}, and so does its answer: {"status": 200, "body": ""},
under HTTP 200. With "beats": true in it a blank comes every few seconds until the answer does: a response that streams
may take eight minutes, a silent one a minute. A body that is one of /api/generate, for those who ask without Hearth,
is sent there, and its answer comes back as Ollama gave it, the status included.

The contract is SageMaker's: docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html. It runs the
image with `serve`, asks /ping from the start on (2 seconds for an answer), cuts invocations off after 60 seconds, or
480 if they stream, and sends SIGTERM 30 seconds before it kills.

It needs starlette, uvicorn and httpx, and nothing of Hearth. The environment:
    HEARTH_MODEL             Ollama's name of the model; it is pulled if it is not there
    HEARTH_MODEL_DIGEST      the beginning of its digest; another one ends the container
    HEARTH_NUM_CTX           context that it is loaded with, tokens: another one in a request loads it again
    HEARTH_REQUIRE_GPU       true: a model that runs on the CPU alone ends the container; Ollama falls back silently
    HEARTH_ANSWER_SECONDS    longest time for an answer; then its slot is free again
    HEARTH_BEAT_SECONDS      from one such blank to the next, 10 if unset
    HEARTH_BIND              address to listen on, 0.0.0.0 if unset
    OLLAMA_HOST              where Ollama listens
    OLLAMA_MODELS            where its models are, unless there is a store in HEARTH_STORE
    HEARTH_STORE             where SageMaker puts model data, /opt/ml/model if unset
    SAGEMAKER_BIND_TO_PORT   where the adapter listens, 8080 if unset
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
"""The calls that are let through. To pull or delete models is the endpoint's own business."""
_PING_SECONDS = 1.5
_STOP_SECONDS = 25
_POLL_SECONDS = 0.1


def log(text: str) -> None:
    """SageMaker sends it to CloudWatch."""
    print(text, flush=True)  # noqa: T201


class Adapter:
    """The application, and the Ollama behind it.

    Args:
        command: starts Ollama.
        environment: see the module.
    """

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
            # SageMaker mounts it read-only, and Ollama would tidy it up.
            environment |= {"OLLAMA_MODELS": str(store), "OLLAMA_NOPRUNE": "1"}
        self._environment = environment
        self._ollama = httpx.AsyncClient(base_url=f"http://{host}", timeout=None, trust_env=False)  # noqa: S113
        self._warm = False
        self.failed = False
        self.stop: Callable[[], None] = lambda: None
        routes = [Route("/ping", self.ping), Route("/invocations", self.invocations, methods=["POST"])]
        self.app = Starlette(routes=routes, lifespan=self._lifespan)

    async def ping(self, _request: Request) -> Response:
        """200 once pages can be read; 503 before, and whenever Ollama does not answer."""
        if not self._warm:
            return Response("the model is not warm yet", 503)
        try:
            (await self._ollama.get("/api/version", timeout=_PING_SECONDS)).raise_for_status()
        except httpx.HTTPError as error:
            return Response(f"Ollama does not answer: {error!r}", 503)
        return Response("warm")

    async def invocations(self, request: Request) -> Response:
        """Ask Ollama; see the module."""
        try:
            asked = json.loads(await request.body())
        except ValueError:
            asked = None
        if not isinstance(asked, dict):
            return JSONResponse({"error": "the body is not a JSON object"}, 400)
        if "path" not in asked:
            return await self._while_there(request, "/api/generate", asked)
        answering = asyncio.create_task(self._enveloped(request, asked))
        if asked.get("beats"):
            return StreamingResponse(self._beating(answering), media_type="application/json")
        return Response(await answering, media_type="application/json")

    async def _beating(self, answering: asyncio.Task[bytes]) -> AsyncIterator[bytes]:
        """Blanks, which JSON ignores, until there is an answer, and the answer."""
        try:
            while not (await asyncio.wait({answering}, timeout=self._beat))[0]:
                yield b" "
            yield answering.result()
        finally:
            answering.cancel()

    async def _enveloped(self, request: Request, asked: dict[str, Any]) -> bytes:
        answer = await self._while_there(request, asked["path"], asked.get("body"))
        return json.dumps({"status": answer.status_code, "body": bytes(answer.body).decode()}).encode()

    async def _while_there(self, request: Request, path: object, body: Any) -> Response:  # noqa: ANN401 - any JSON
        """Ask Ollama for as long as the caller waits: a slot must not work for nobody."""
        asking = asyncio.create_task(self._asked(path, body))
        gone = asyncio.create_task(_hung_up(request))
        try:
            await asyncio.wait({asking, gone}, timeout=self._seconds, return_when=asyncio.FIRST_COMPLETED)
            if asking.done():
                return asking.result()
            told = "the caller has hung up" if gone.done() else f"no answer within the endpoint's {self._seconds:g} s"
            return JSONResponse({"error": told}, 504)
        finally:
            asking.cancel()
            gone.cancel()

    async def _asked(self, path: object, body: Any) -> Response:  # noqa: ANN401
        method = METHODS.get(path) if isinstance(path, str) else None
        if method is None:
            return JSONResponse({"error": f"this endpoint has no {path}; it serves {self._model}"}, 404)
        if path == "/api/generate" and isinstance(body, dict):
            # When the model goes, AWS decides, with the instance.
            body = {**body, "keep_alive": -1, "stream": False}
        try:
            answer = await self._ollama.request(method, str(path), json=body)
        except httpx.HTTPError as error:
            return JSONResponse({"error": f"Ollama is out of reach: {error!r}"}, 503)
        return Response(answer.content, answer.status_code, media_type="application/json")

    @asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        """/ping is answered from the start on, so nothing is waited for here."""
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
        """Get warm, and end with Ollama, whose death a container does not outlive: SageMaker starts another."""
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
        """Ollama answers, the model is there, and it is loaded with the options of the pages."""
        while True:
            with suppress(httpx.TransportError):
                await self._ollama.get("/api/version")
                break
            await asyncio.sleep(_POLL_SECONDS)
        shown = await self._ollama.post("/api/show", json={"model": self._model})
        if shown.status_code == 404:
            log(f"pulling {self._model}")
            await self._told("/api/pull", {"model": self._model, "stream": False})
        listed = (await self._ollama.get("/api/tags")).json()["models"]
        name = self._model if ":" in self._model.rpartition("/")[2] else f"{self._model}:latest"
        found = next((each["digest"] for each in listed if each["name"].lower() == name.lower()), "")
        if not found.startswith(self._digest):
            raise RuntimeError(f"{name} has the digest {found}, not {self._digest}")
        log(f"loading {self._model}")
        load = {"model": self._model, "prompt": "", "stream": False, "keep_alive": -1}
        await self._told("/api/generate", {**load, "options": {"num_ctx": self._num_ctx}})
        in_gpu = [each.get("size_vram", 0) for each in (await self._ollama.get("/api/ps")).json()["models"]]
        if self._require_gpu and not any(in_gpu):
            raise RuntimeError("it runs on the CPU: the instance has no GPU, or a driver that is too old for Ollama")
        log(f"{self._model} is warm, {sum(in_gpu) / 1e9:.1f} GB of it in GPU memory")
        self._warm = True

    async def _told(self, path: str, body: dict[str, Any]) -> None:
        answer = await self._ollama.post(path, json=body)
        if answer.is_error or "error" in answer.json():
            raise RuntimeError(answer.text[:500])


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def main(arguments: list[str]) -> int:
    """Serve until SIGTERM. Gives the exit code: 1 if the model cannot be served, 2 for wrong arguments."""
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
    # uvicorn stops on SIGTERM and then sends it to itself again: by then it has been obeyed.
    signal.signal(signal.SIGTERM, lambda *_: None)
    server.run()
    return 1 if adapter.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
