"""Homes for Prefect servers of tests: with a database that is migrated already, and without what no test waits for.

A new database costs a server six seconds of processor time before it answers. Here one server makes a database for all
test runs with a version of Prefect, and every home begins with a copy of it.
"""

from __future__ import annotations

import fcntl
import http.client
import shlex
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from tasks.ollama.address import free_port
from tests.support import forked, forkserver
from tests.support.environment import clean
from tests.support.forked_process import Process
from tests.support.forkserver import ROOT
from tests.support.waiting import PATIENCE, until

QUIET = {
    **{"DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"},
    **{
        f"PREFECT_SERVER_SERVICES_{service}_ENABLED": "false"
        for service in ("LATE_RUNS", "FOREMAN", "PAUSE_EXPIRATIONS", "CANCELLATION_CLEANUP")
    },
}
"""For servers on which no run is paused or late: these look every few seconds, each in every server."""


def seed(home: Path) -> Path:
    """Make a directory for a PREFECT_HOME whose database is ready, and return it."""
    home.mkdir(parents=True, exist_ok=True)
    shutil.copy(template(), home / "prefect.db")
    return home


def password_in(home: Path) -> tuple[str, str] | None:
    """User and password of the Prefect server that Hearth started with this HEARTH_HOME; None if it started none."""
    kept = home / "prefect-password"
    if not kept.exists():
        return None
    user, _, secret = kept.read_text().strip().partition(":")
    return user, secret


def fork_runs(api: str, pool: str = "hearth", auth: tuple[str, str] | None = None) -> None:
    """Have workers of a pool run flows through the fork server: a start of their own costs six seconds of processor."""
    url = f"{api}/work_pools/{pool}"
    template = _answered("GET", url, auth=auth).json()["base_job_template"]
    template["variables"]["properties"]["command"]["default"] = shlex.join(forked.command("prefect.engine"))
    _answered("PATCH", url, auth=auth, json={"base_job_template": template})


def _answered(method: str, url: str, **options: Any) -> httpx.Response:
    """Return the response of Prefect's API, which answers 503 while another writes to its SQLite database."""

    def responses() -> list[httpx.Response]:
        response = httpx.request(method, url, timeout=PATIENCE, **options)
        return [] if response.status_code == httpx.codes.SERVICE_UNAVAILABLE else [response]

    return until(responses)[0].raise_for_status()


def template() -> Path:
    """Return a database that is ready, made by the first test run with this version of Prefect."""
    made = ROOT / "build" / f"prefect-{version('prefect')}.db"
    made.parent.mkdir(exist_ok=True)
    with made.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            _make(made)
    return made


def _make(made: Path) -> None:
    """Have a server migrate a database and note its block types."""
    with TemporaryDirectory() as work:
        with prefect_server(Path(work), {**clean(), **QUIET, "PREFECT_HOME": work}):
            pass
        with closing(sqlite3.connect(Path(work) / "prefect.db")) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        part = made.with_suffix(".part")
        shutil.copy(Path(work) / "prefect.db", part)
        part.rename(made)


@contextmanager
def prefect_server(
    directory: Path, environment: Mapping[str, str], port: int | None = None
) -> Iterator[tuple[str, Process]]:
    """Serve Prefect's API, and yield its address and the process; the log is in `directory`."""
    port = port or free_port()
    command = ("prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port))
    with (directory / "log").open("w") as log:
        server = forkserver.start(
            *command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT, new_session=True
        )
        try:
            until(lambda: _answers(port) or server.poll() is not None)
            assert server.poll() is None, (directory / "log").read_text()
            yield f"http://127.0.0.1:{port}/api", server
        finally:
            server.send_signal(signal.SIGINT)
            server.wait()


def _answers(port: int) -> bool:
    """Say whether it is there; without httpx, which takes more of the processor than a start has to spare."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", "/api/health")
        return connection.getresponse().status == httpx.codes.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
