"""Processes of the harness that do not outlive the test process that started them."""

import os
from collections.abc import Mapping
from pathlib import Path
from subprocess import STDOUT

from tests.support import forkserver
from tests.support.forked_process import Process

ROOT = forkserver.ROOT


def leashed(module: str, *arguments: object, log: Path, environment: Mapping[str, str] | None = None) -> Process:
    """Start a module; what it prints is appended to `log`."""
    settings = {**os.environ, **(environment or {}), "PYTHONUNBUFFERED": "1"}
    with log.open("ab") as output:
        return forkserver.start(module, *map(str, arguments), cwd=ROOT, env=settings, stdout=output, stderr=STDOUT)


def end(process: Process) -> None:
    """Kill it, stopped or not, and wait until it is gone."""
    process.kill()
    process.wait()
