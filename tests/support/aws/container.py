"""Hearth's SageMaker container as a process: the real adapter, over the embedded server in Ollama's place. SIMULATED is
only what SageMaker does around it: no image is built, no GPU is there."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.support.commands import ROOT
from tests.support.waiting import PATIENCE, until

MODEL = "tesseract:eng"


@dataclass
class Container:
    """The running container.

    Attributes:
        url: where SageMaker asks it.
        ollama: where the server behind it listens.
        held: while this file is there, the engine `held` does not go on.
    """

    url: str
    ollama: str
    process: subprocess.Popen[bytes]
    log: Path
    images: Path
    held: Path

    def hold(self) -> None:
        """Have no page end from now on."""
        self.held.touch()

    def let_go(self) -> None:
        """Have them end."""
        self.held.unlink()

    def ping(self) -> int:
        """The status of /ping; 0 if nothing answers."""
        with suppress(httpx.TransportError), httpx.Client(verify=False, timeout=PATIENCE) as client:
            return client.get(f"{self.url}/ping").status_code
        return 0

    def invoke(self, body: object, timeout: float = PATIENCE) -> httpx.Response:
        with httpx.Client(verify=False, timeout=timeout) as client:
            return client.post(f"{self.url}/invocations", json=body)

    def wait_warm(self) -> None:
        def warm() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            return self.ping() == 200

        until(warm)

    @property
    def read(self) -> Counter[str]:
        """How often each image was read, by its digest."""
        return Counter(self.images.read_text().split()) if self.images.exists() else Counter()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def container(directory: Path, *, slots: int = 2, engine: str | None = None, **settings: object) -> Iterator[Container]:
    """Start it, and wait until it is warm unless `warm` is False.

    Args:
        directory: of its logs.
        slots: OLLAMA_NUM_PARALLEL.
        engine: one of tests/integration/prefect/engines.py, or `package.module:function`; the real one if None.
        settings: `warm`, `seconds` (a page takes), and the adapter's environment in lower case.
    """
    port, behind = free_port(), free_port()
    log, images, held = directory / "container.log", directory / "images.log", directory / "held"
    warm = settings.pop("warm", True)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("HEARTH_", "OLLAMA_"))},
        **{"HEARTH_MODEL": MODEL, "HEARTH_BIND": "127.0.0.1", "SAGEMAKER_BIND_TO_PORT": str(port)},
        **{"OLLAMA_HOST": f"127.0.0.1:{behind}", "OLLAMA_MODELS": str(directory / "models"), "PYTHONPATH": str(ROOT)},
        **{"ENGINE_SECONDS": str(settings.pop("seconds", 0)), "ENGINE_LOG": str(images), "ENGINE_HELD": str(held)},
        **{name.upper(): str(value) for name, value in settings.items()},
    }
    behind_it = [sys.executable, "-P", "-m", "tasks.embedded", "--host", "127.0.0.1", "--port", str(behind), "--quiet"]
    behind_it += ["--num-parallel", str(slots)]
    if engine:
        behind_it += ["--engine", engine if ":" in engine else f"tests.integration.prefect.engines:{engine}"]
    # The embedded server is told by an option what Ollama reads in its environment.
    behind_it = ["sh", "-c", 'exec "$@" --models "$OLLAMA_MODELS"', "sh", *behind_it]
    adapter = [sys.executable, "-P", str(ROOT / "infra_scripts" / "sagemaker" / "adapter.py"), "serve"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*adapter, *behind_it], cwd=directory, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    started = Container(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{behind}", process, log, images, held)
    try:
        if warm:
            started.wait_warm()
        yield started
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
