"""Embedded servers with engines of the tests' own."""

from __future__ import annotations

import os
import re
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL

import pytest

from tests.support import forkserver
from tests.support.commands import ROOT
from tests.support.forked_process import Process


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Callable[..., Engine]]:
    """Starts embedded servers with the engines of engines.py; they end with the test."""
    with ExitStack() as stack:
        yield lambda name, slots=2, **settings: stack.enter_context(serve(tmp_path, name, slots, settings))


@dataclass
class Engine:
    """An embedded server with a drop-in engine."""

    url: str
    log: Path
    process: Process

    def kill(self) -> None:
        self.process.kill()

    @property
    def settings(self) -> dict[str, str]:
        """What has the command use it."""
        return {"HEARTH_URL": self.url, "HEARTH_MODEL": "tesseract:eng"}

    @property
    def read(self) -> Counter[str]:
        """How often each image was read, by its digest."""
        return Counter(self.log.read_text().split()) if self.log.exists() else Counter()


@contextmanager
def serve(directory: Path, name: str, slots: int, settings: dict[str, object]) -> Iterator[Engine]:
    arguments = ["--port", "0", "--num-parallel", str(slots), "--engine", f"tests.integration.prefect.engines:{name}"]
    log = directory / "images.log"
    chosen = {f"ENGINE_{key.upper()}": str(value) for key, value in settings.items()}
    environment = {**os.environ, **chosen, "ENGINE_LOG": str(log)}
    with forkserver.start("tasks.embedded", *arguments, cwd=ROOT, env=environment, stdout=DEVNULL) as server:
        found = re.search(r"http://\S+?:\d+", server.stderr.readline())
        try:
            yield Engine(found[0], log, server)
        finally:
            server.kill()
            server.stderr.read()


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]
