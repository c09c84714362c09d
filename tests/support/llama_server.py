"""A real llama-server over OpenAI's API, with a model whose answers are a known chain of words."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.support.ollama.stand_in.weights import MODELS
from tests.support.tools import LLAMA_SERVER
from tests.support.waiting import until

HOST = "127.0.0.1"


@dataclass(frozen=True)
class LlamaServer:
    """One that runs.

    Attributes:
        url: without `/v1`.
        model: its name there.
        process: of the program.
    """

    url: str
    model: str
    process: subprocess.Popen[bytes]

    def kill(self) -> None:
        """End it as `kill -9` does."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@contextmanager
def llama_server(
    log: Path,
    *,
    model: str = "chain:latest",
    slots: int = 2,
    context: int = 4096,
    key: str | None = None,
    port: int = 0,
) -> Iterator[LlamaServer]:
    """Run one until the block ends. Skips the test where the program is missing.

    Args:
        log: file for what it writes.
        model: of the stand-in's models.
        slots: requests at once.
        context: tokens of each.
        key: that requests must carry.
        port: 0 for any free one.
    """
    if not LLAMA_SERVER.path:
        pytest.skip(LLAMA_SERVER.missing)
    if not port:
        with socket.socket() as free:
            free.bind((HOST, 0))
            port = free.getsockname()[1]
    name = model.partition(":")[0]
    arguments = (
        *MODELS[model].arguments,
        *("--alias", name, "--host", HOST, "--port", str(port), "--no-webui"),
        *("--ctx-size", str(context * slots), "--parallel", str(slots), "--no-context-shift"),
        # Two threads of one model wait for one another in a loop, which costs twenty times as much on a busy machine.
        *("--threads", "1", "--threads-batch", "1", "--threads-http", "8"),
        *(("--api-key", key) if key else ()),
    )
    url = f"http://{HOST}:{port}"
    with (
        log.open("ab") as file,
        subprocess.Popen([LLAMA_SERVER.command, *arguments], stdout=file, stderr=file) as process,
    ):
        try:
            until(lambda: process.poll() is not None or _ready(url))
            assert process.poll() is None, log.read_text()
            yield LlamaServer(url, name, process)
        finally:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=1, trust_env=False).is_success
    except httpx.HTTPError:
        return False
