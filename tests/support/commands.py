"""The `hearth` command as a process of its own, over servers that all tests of a pytest worker share."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import stamina

from tests.support import forkserver
from tests.support.environment import clean
from tests.support.forked_process import Process
from tests.support.prefect_home import QUIET, prefect_server, seed
from tests.support.waiting import PATIENCE

ROOT = Path(__file__).parents[2]


@dataclass
class Outcome:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def notes(self) -> str:
        """Standard error, but for the line that tells where the run can be watched."""
        return "".join(line for line in self.err.splitlines(keepends=True) if not line.startswith("Watch it at http"))

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
    """Runs the command in a directory, with an environment.

    Attributes:
        anew: whether by an interpreter of its own, as people do, and not by the fork server.
        prefix: a command that runs it, in a namespace for example; implies `anew`.
    """

    directory: Path
    environment: dict[str, str]
    anew: bool = False
    prefix: tuple[str, ...] = ()

    def start(
        self, *arguments: str | Path, stderr: int = subprocess.PIPE, **environment: str
    ) -> subprocess.Popen[str] | Process:
        if not (self.anew or self.prefix):
            settings = {"cwd": self.directory, "env": {**self.environment, **environment}, "stderr": stderr}
            return forkserver.start("flows.cli.main", *map(str, arguments), **settings)
        return subprocess.Popen(
            [*self.prefix, sys.executable, "-P", "-m", "flows.cli.main", *map(str, arguments)],
            cwd=self.directory,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )

    def __call__(self, *arguments: str | Path, **environment: str) -> Outcome:
        with self.start(*arguments, **environment) as process:
            out, err = process.communicate(timeout=2 * PATIENCE)
        return Outcome(process.returncode, out, err)

    def read(self, *arguments: str | Path, **environment: str) -> Outcome:
        """`hearth read ... --json`."""
        return self("read", *arguments, "--json", **environment)


@pytest.fixture(scope="session")
def session_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the session's page servers are kept; they are stopped at its end."""
    home = tmp_path_factory.mktemp("hearth-home")
    yield home
    stopped = Hearth(home, {**clean(), "HEARTH_HOME": str(home)})("stop", "--force")
    assert stopped.code == 0, stopped.err


@pytest.fixture(scope="session")
def session_prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    """The session's Prefect server."""
    home = seed(tmp_path_factory.mktemp("prefect"))
    with prefect_server(home, {**clean(), **QUIET, "PREFECT_HOME": str(home)}) as (api, process):
        yield PrefectServer(api, process.pid)


@pytest.fixture
def hearth(session_home: Path, session_prefect: PrefectServer, clean_environment: None, tmp_path: Path) -> Hearth:
    """The command, over servers that the session's tests share."""
    shared = {
        "HEARTH_HOME": str(session_home),
        "PREFECT_HOME": str(session_home / "prefect"),
        "PREFECT_API_URL": session_prefect.api,
    }
    return Hearth(tmp_path, {**os.environ, **shared})


@pytest.fixture
def newcomer(clean_environment: None, tmp_path: Path) -> Iterator[Hearth]:
    """The command for somebody who has no Prefect server: it starts one, which ends with the test."""
    home = tmp_path / "newcomer"
    own = {"HEARTH_HOME": str(home), "PREFECT_HOME": str(seed(home / "prefect"))}
    command = Hearth(tmp_path, {**os.environ, **QUIET, **own})
    yield command
    command("stop", "--force")


def _busy(error: Exception) -> bool:
    return isinstance(error, httpx.HTTPStatusError) and error.response.status_code == httpx.codes.SERVICE_UNAVAILABLE


@dataclass
class PrefectServer:
    """The session's Prefect server, as an observer outside the command asks it."""

    api: str
    pid: int

    def __call__(self, kind: str, **filters: Any) -> list[dict[str, Any]]:
        """What it holds of a kind, such as flow_runs."""
        return self.ask("POST", f"{kind}/filter", json=filters).json()

    @stamina.retry(on=_busy, attempts=None, timeout=PATIENCE)
    def ask(self, method: str, path: str, **asked: Any) -> httpx.Response:
        """A request to its API; again while its database is locked by somebody else."""
        return httpx.request(method, f"{self.api}/{path}", timeout=PATIENCE, **asked).raise_for_status()


@pytest.fixture
def prefect(session_prefect: PrefectServer) -> PrefectServer:
    return session_prefect
