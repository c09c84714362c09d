"""Servers for the tasks' own program: a real embedded one, and a scripted one where that cannot misbehave."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.ecs.agents import MODEL, NUM_CTX, ROOT, SLEEP, Running, running
from tests.support.infra.machine_stubs import Stub, free_port, stub


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts an agent over the embedded server."""
    with ExitStack() as stack:

        def start(**settings: str) -> Running:
            port = free_port()
            server = [sys.executable, "-P", "-m", "tasks.embedded", "--port", str(port), "--num-parallel", "2"]
            command = [*server, "--engine", "tests.support.ecs.engines:held", "--quiet"]
            environment = {"PYTHONPATH": str(ROOT), **settings}
            return stack.enter_context(running(command, port, tmp_path, **environment))

        yield start


@pytest.fixture
def scripted(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts an agent over a server that lists what a test says."""
    with ExitStack() as stack:

        def start(listed: dict[str, object], **settings: str) -> Running:
            entry = {"name": MODEL, "size": 10, "size_vram": 10, "context_length": NUM_CTX}
            entry |= {"expires_at": "2318-03-03T10:00:00.123456789+01:00", **listed}
            server: Stub = stack.enter_context(stub(lambda _: (200, json.dumps({"models": [entry]}).encode())))
            return stack.enter_context(running(SLEEP, server.port, tmp_path, **settings))

        yield start
