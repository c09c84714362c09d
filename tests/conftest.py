"""A clean environment for each test, and the real servers that several of them share."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tasks.core.authorities import read_authorities_late
from tests.support.ollama.scripted import ScriptedOllama, scripted_ollama

pytest_plugins = [
    "tests.support.aws.moto_server",
    "tests.support.collection",
    "tests.support.commands",
    "tests.support.early",
    "tests.support.leftovers",
    "tests.support.order",
    "tests.support.sandboxes",
    "tests.support.tools",
    "tests.support.aws.fixtures",
    "tests.support.boot.fixtures",
    "tests.support.ecs.fixtures",
    "tests.support.infra.fixtures",
    "tests.support.ollama.stand_in.program",
]

# How long an example takes is no matter of the code's on a machine that is busy. A test that
# wants more or fewer examples says so.
settings.register_profile("hearth", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("hearth")

# A shell that starts something with & has it ignore Ctrl-C, and so whatever that starts.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)

read_authorities_late()

_PREFIXES = ("HEARTH_", "OLLAMA_", "PREFECT_", "LLAMA_API_URL")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """No setting of the machine reaches a test, and none of its files is touched."""
    for name in list(os.environ):
        if name.startswith(_PREFIXES):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HEARTH_HOME", str(tmp_path / "hearth-home"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def running() -> Iterator[ScriptedOllama]:
    """One scripted Ollama for a file's tests."""
    with scripted_ollama() as server:
        yield server


@pytest.fixture
def server(running: ScriptedOllama) -> ScriptedOllama:
    """It, with nothing scripted yet."""
    running.reset()
    return running
