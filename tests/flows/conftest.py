"""The `hearth` command as people run it: a process of its own, over one Prefect server that all these tests share."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).parents[2]


@dataclass
class Outcome:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.out)

    @property
    def directory(self) -> Path:
        return Path(self.json["output"])

    @property
    def document(self) -> str:
        return (self.directory / "document.md").read_text()

    def page(self, number: int) -> dict[str, Any]:
        return json.loads((self.directory / "pages" / f"{number:04d}.json").read_text())

    @property
    def manifest(self) -> dict[str, Any]:
        return json.loads((self.directory / "manifest.json").read_text())


@dataclass
class Hearth:
    """Runs the command in a directory, with an environment."""

    directory: Path
    environment: dict[str, str]

    def start(self, *arguments: str | Path, stderr: int = subprocess.PIPE, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "flows.cli", *map(str, arguments)],
            cwd=self.directory,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )

    def __call__(self, *arguments: str | Path, **environment: str) -> Outcome:
        with self.start(*arguments, **environment) as process:
            out, err = process.communicate(timeout=100)
        return Outcome(process.returncode, out, err)

    def read(self, *arguments: str | Path, **environment: str) -> Outcome:
        """`hearth read ... --json`."""
        return self("read", *arguments, "--json", **environment)


@pytest.fixture(scope="session")
def session_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the session's servers are kept; they are stopped at its end."""
    home = tmp_path_factory.mktemp("hearth-home")
    yield home
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HEARTH_", "PREFECT_"))}
    command = [sys.executable, "-P", "-m", "flows.cli", "stop", "--force"]
    subprocess.run(command, env={**clean, "HEARTH_HOME": str(home)}, check=True, capture_output=True)


@pytest.fixture
def hearth(session_home: Path, clean_environment: None, tmp_path: Path) -> Hearth:
    """The command, over servers that the session's tests share."""
    environment = {
        **os.environ,
        "HEARTH_HOME": str(session_home),
        "PREFECT_HOME": str(session_home / "prefect"),
    }
    return Hearth(tmp_path, environment)


@dataclass
class PrefectServer:
    """The session's Prefect server, as an observer outside the command asks it."""

    home: Path

    def url(self) -> str:
        (record,) = self.home.glob("servers/prefect-*/server.json")
        return json.loads(record.read_text())["url"]

    def __call__(self, kind: str, **filters: Any) -> list[dict[str, Any]]:
        """What it holds of a kind, such as flow_runs."""
        response = httpx.post(f"{self.url()}/api/{kind}/filter", json=filters)
        assert response.is_success, response.text
        return response.json()


@pytest.fixture
def prefect(hearth: Hearth) -> PrefectServer:
    return PrefectServer(Path(hearth.environment["HEARTH_HOME"]))


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Callable[..., Engine]]:
    """Starts embedded servers with the engines of engines.py; they end with the test."""
    with ExitStack() as stack:
        yield lambda name, slots=2, **settings: stack.enter_context(_served(tmp_path, name, slots, settings))


@dataclass
class Engine:
    """An embedded server with a drop-in engine."""

    url: str
    log: Path
    process: subprocess.Popen[str]

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
def _served(directory: Path, name: str, slots: int, settings: dict[str, object]) -> Iterator[Engine]:
    command = [
        *(sys.executable, "-m", "tasks.embedded", "--port", "0", "--num-parallel", str(slots)),
        *("--engine", f"tests.flows.engines:{name}"),
    ]
    log = directory / "images.log"
    chosen = {f"ENGINE_{key.upper()}": str(value) for key, value in settings.items()}
    environment = {**os.environ, **chosen, "ENGINE_LOG": str(log)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as server:
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
