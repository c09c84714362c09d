"""A page server that can be killed and started again at the same address, and counts what it was asked for."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from tests.faults.marks import Page
from tests.support.aws.leash import end, leashed
from tests.support.waiting import until

MODEL = "tesseract:eng"


class PageServer:
    """The embedded server with the engine of `engines`, in a process of its own that does not outlive this one.

    Attributes:
        url: its address, the same after each start.
        starts: how often it was started.
    """

    def __init__(self, directory: Path, slots: int, seconds: float) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self._port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"
        self.starts = 0
        self._slots = slots
        self._log, self._pages = directory / "page-server.log", directory / "pages.log"
        self._environment = {"ENGINE_SECONDS": str(seconds), "ENGINE_LOG": str(self._pages)}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def read(self) -> Counter[Page]:
        """How often the engine began with each page."""
        lines = self._pages.read_text().splitlines() if self._pages.exists() else []
        return Counter(Page(int(document), int(number)) for document, number, _ in map(str.split, lines))

    def start(self) -> None:
        """Start it, and wait until it answers. Call it from a thread that stays: the server ends with it."""
        settings = ("--port", self._port, "--num-parallel", self._slots, "--engine", "tests.faults.engines:marked")
        self._process = leashed("tasks.embedded", *settings, log=self._log, environment=self._environment)
        self.starts += 1
        with httpx.Client(verify=False) as client:  # reading certificates would take longer than all else
            until(lambda: self._answers(client))

    def _answers(self, client: httpx.Client) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()
        with suppress(httpx.TransportError):
            return client.get(f"{self.url}/api/version").raise_for_status().is_success
        return False

    def kill(self) -> None:
        """Kill -9."""
        if self._process is not None:
            end(self._process)

    def freeze(self) -> None:
        """Stop it where it is: it accepts connections and answers nothing."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Have it go on."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)


@contextmanager
def page_server(directory: Path, slots: int = 2, seconds: float = 0.1) -> Iterator[PageServer]:
    """One that ends with the context; `seconds` is what a page takes."""
    server = PageServer(directory, slots, seconds)
    server.start()
    try:
        yield server
    finally:
        server.kill()
