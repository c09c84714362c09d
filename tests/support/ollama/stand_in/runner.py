"""A llama-server as Ollama runs it: a child of its own process group, which nobody ends with it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator
from typing import Any

import httpx

from tests.support.ollama.stand_in.weights import CONTEXT_LENGTH, Model
from tests.support.tools import LLAMA_SERVER

HOST = "127.0.0.1"
LOOK_SECONDS = 0.02
CAUSE = re.compile(r"error loading model|GGML_ASSERT|unable to allocate")


class RunnerError(Exception):
    """An error that Ollama answers with status 500, or another one."""

    def __init__(self, text: str, status: int = 500) -> None:
        super().__init__(text)
        self.status = status


class Runner:
    """A model in memory."""

    def __init__(self, model: Model, num_ctx: int, slots: int) -> None:
        self.model = model
        self.num_ctx = min(num_ctx, CONTEXT_LENGTH)
        self.users = 0
        with socket.socket() as free:
            free.bind((HOST, 0))
            port = free.getsockname()[1]
        context = ("--ctx-size", str(self.num_ctx * slots), "--parallel", str(slots), "--no-context-shift")
        quiet = ("--no-webui", "--log-colors", "off")
        # Two threads of one model wait for one another in a loop, which costs twenty times as much on a busy machine.
        frugal = ("--threads", "1", "--threads-batch", "1", "--threads-http", "8")
        place = ("--host", HOST, "--port", str(port))
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  closed when the runner ends
        self._child = subprocess.Popen(
            [LLAMA_SERVER.command, *model.arguments, *context, *place, *quiet, *frugal],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )
        self._http = httpx.AsyncClient(base_url=f"http://{HOST}:{port}", timeout=None, trust_env=False)

    @property
    def lives(self) -> bool:
        """Return whether its process runs."""
        return self._child.poll() is None

    async def ready(self) -> None:
        """Wait until the model is loaded.

        Raises:
            RunnerError: the process ended instead.
        """
        while self.lives:
            try:
                if (await self._http.get("/health")).is_success:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(LOOK_SECONDS)
        raise RunnerError(f"llama-server process has terminated: exit status {self._child.returncode}: {self._cause()}")

    async def events(self, request: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """Send a request, and yield the events of its stream.

        Raises:
            RunnerError: it refuses, or its process ended meanwhile.
        """
        try:
            async with self._http.stream("POST", "/v1/chat/completions", json=request) as response:
                if response.is_error:
                    raise RunnerError((await response.aread()).decode().strip(), response.status_code)
                async for line in response.aiter_lines():
                    if line.startswith("data: {"):
                        yield json.loads(line.removeprefix("data: "))
        except httpx.TransportError:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(1)  # that it has ended may be known a moment later than what it did not send
            raise RunnerError("an error was encountered while running the model: unexpected EOF") from None

    async def stop(self) -> None:
        """End the process."""
        await self._http.aclose()
        self._child.terminate()
        await asyncio.to_thread(self._child.wait)
        self._log.close()

    def _cause(self) -> str:
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").splitlines()
        told = [line[found.start() :] for line in lines if (found := CAUSE.search(line))]
        return "\n".join(told[:2]) or " ".join(lines[-1:])
