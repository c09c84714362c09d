"""The stand-in for `ollama`, installed for a test and started by it or by Hearth."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from tests.support.environment import clean
from tests.support.ollama.stand_in.weights import directory
from tests.support.tools import LLAMA_SERVER, ROOT
from tests.support.waiting import until

SCRIPT = """#!/bin/sh
PYTHONPATH="{root}" exec "{python}" -m tests.support.ollama.stand_in.serve "$@"
"""


@dataclass
class Program:
    """The stand-in in a directory that a PATH may begin with.

    Attributes:
        bin: the directory.
    """

    bin: Path

    @property
    def path(self) -> str:
        """Return a PATH on which it is the first `ollama`."""
        return f"{self.bin}{os.pathsep}{os.environ['PATH']}"

    @contextmanager
    def serving(self, host: str, slots: int = 1) -> Iterator[subprocess.Popen[bytes]]:
        """Have `ollama serve` run and answer at `host`, a name with a port, and end it with its children."""
        environment = clean("OLLAMA_") | {"OLLAMA_HOST": host, "OLLAMA_NUM_PARALLEL": str(slots)}
        with subprocess.Popen([self.bin / "ollama", "serve"], env=environment, stderr=subprocess.DEVNULL) as process:
            try:
                until(lambda: process.poll() is not None or answers(host))
                assert process.poll() is None, "the stand-in for ollama did not start"
                yield process
            finally:
                for each in [*runners(process.pid), process.pid]:
                    with suppress(ProcessLookupError):
                        os.kill(each, signal.SIGKILL)


def answers(host: str) -> bool:
    """Return whether an Ollama answers there."""
    try:
        return httpx.get(f"http://{host}/api/version", trust_env=False).is_success
    except httpx.TransportError:
        return False


def runners(pid: int) -> list[int]:
    """Return the llama-servers that are children of a process."""
    try:
        children = psutil.Process(pid).children()
    except psutil.NoSuchProcess:
        return []
    return [child.pid for child in children if child.name() == "llama-server"]


@pytest.fixture(scope="session")
def ollama_program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """The stand-in, with its models made; the test is skipped where there is no llama-server."""
    if not LLAMA_SERVER.path:
        pytest.skip(LLAMA_SERVER.missing)
    return installed(tmp_path_factory.mktemp("ollama"))


def installed(into: Path) -> Program:
    """Return the stand-in, written into a directory, with its models made."""
    directory()
    program = into / "ollama"
    program.write_text(SCRIPT.format(root=ROOT, python=sys.executable))
    program.chmod(0o755)
    return Program(into)
