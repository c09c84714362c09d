"""The HTTP API as its users have it: a process of its own, over a real Prefect server, with a real worker."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pymupdf

from flows.local.worker import PATIENT
from tests.integration.prefect.web_engines import STEPS
from tests.support import forkserver
from tests.support.commands import ROOT
from tests.support.environment import clean
from tests.support.forked_process import Process
from tests.support.prefect_home import fork_runs
from tests.support.waiting import PATIENCE, until

TOKEN = "the token of these tests"
SECRET = "the webhook secret of these tests"


@dataclass
class Backend:
    """It, which can be killed and started again at the same address."""

    directory: Path
    environment: dict[str, str]
    port: int
    process: Process | None = None
    _gates: Iterator[int] = field(default_factory=lambda: iter(range(15, STEPS)))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.directory / "backend.log").read_text()

    def start(self) -> None:
        with (self.directory / "backend.log").open("ab") as log:
            command = ("flows.cli.main", "serve-api", "--port", str(self.port))
            streams = {"stdout": log, "stderr": subprocess.STDOUT}
            self.process = forkserver.start(*command, cwd=self.directory, env=self.environment, **streams)
        until(self._answers)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def held(self, upright: int = 0) -> Held:
        """A document of some pages and a last one, which the engine holds back."""
        return Held(self.directory / "gates", next(self._gates), upright)

    def client(self, token: str = TOKEN) -> httpx.Client:
        # None is kept: it might be closed, for its age, at the moment when it is used again.
        limits = httpx.Limits(max_keepalive_connections=0)
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=PATIENCE, limits=limits)

    def post(self, pdf: bytes, **options: Any) -> httpx.Response:
        with self.client() as client:
            headers = {"Content-Type": "application/pdf"}
            return client.post("/documents", params=options, content=pdf, headers=headers)

    def get(self, path: str) -> httpx.Response:
        with self.client() as client:
            return client.get(path)

    def prefect(self, path: str) -> Any:
        """What Prefect itself says."""
        return httpx.get(self.environment["PREFECT_API_URL"] + path, timeout=PATIENCE).json()

    def events(self, run: str, last: str | None = None, *, text: bool = False) -> Iterator[Event]:
        headers = {} if last is None else {"Last-Event-ID": last}
        with (
            self.client() as client,
            client.stream("GET", f"/documents/{run}/events", params={"text": text}, headers=headers) as response,
        ):
            assert response.headers["content-type"].startswith("text/event-stream"), response.read()
            block: dict[str, str] = {}
            deadline = time.monotonic() + PATIENCE
            for line in response.iter_lines():
                assert time.monotonic() < deadline, "it did not come"
                name, _, value = line.partition(": ")
                if name:
                    block[name] = value
                    continue
                if "event" in block:
                    yield Event(block["event"], json.loads(block["data"]), block.get("id"))
                block = {}

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.log
        try:
            return httpx.get(f"{self.url}/openapi.json").is_success
        except httpx.TransportError:
            return False


@dataclass
class Event:
    """One server-sent event."""

    name: str
    data: dict[str, Any]
    id: str | None


@dataclass
class Receiver:
    """Takes webhooks."""

    url: str
    received: list[tuple[dict[str, str], bytes]] = field(default_factory=list)


@contextmanager
def receiver(refused: int = 1) -> Iterator[Receiver]:
    """Refuses the first, as one that is just being deployed."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            taken.received.append((dict(self.headers), body))
            self.send_response(204 if len(taken.received) > refused else 500)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        taken = Receiver(f"http://127.0.0.1:{server.server_port}/hook?key=of-the-receiver")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield taken
        finally:
            server.shutdown()
            thread.join()


@dataclass
class Held:
    """A document whose last page, in landscape, is not read before it is let go."""

    _gates: Path
    _height: int
    upright: int

    @property
    def pdf(self) -> bytes:
        with pymupdf.open() as pdf:
            for number in range(self.upright):
                pdf.new_page().insert_text((40, 60), f"Page {number} of {self._height}", fontsize=18)
            pdf.new_page(width=842, height=842 * self._height / STEPS).insert_text((40, 60), "The last", fontsize=18)
            return pdf.tobytes(no_new_id=True)

    def let_go(self) -> None:
        (self._gates / str(self._height)).touch()


@contextmanager
def serving_api(directory: Path, api: str) -> Iterator[Backend]:
    """A backend over a Prefect server, with the deployment, a worker, and a gated engine to read with."""
    (directory / "gates").mkdir()
    with ExitStack() as stack:
        engine = stack.enter_context(_engine(clean("API_"), directory / "gates"))
        environment = {
            **clean("API_"),
            "HEARTH_HOME": str(directory / "home"),
            "PREFECT_HOME": str(directory / "home" / "prefect"),
            "PREFECT_API_URL": api,
            "HEARTH_URL": engine,
            "HEARTH_MODEL": "tesseract:eng",
            "HEARTH_LIMITS__FILE_MB": "1",
            "HEARTH_READ__TIMEOUT_LEAST_SECONDS": str(PATIENCE),  # a page that is held back does not hang
        }
        secrets = {"API_TOKEN": TOKEN, "API_WEBHOOK_SECRET": SECRET, "API_WEBHOOK_PRIVATE": "true"}
        results = {"API_DIRECTORY": str(directory / "api"), "API_PREFECT_SECONDS": str(PATIENCE)}
        backend = Backend(directory, {**environment, **secrets, **results}, free_port())
        backend.start()
        stack.callback(backend.kill)
        stack.enter_context(_worker(directory, environment))
        yield backend


@contextmanager
def _engine(environment: dict[str, str], gates: Path) -> Iterator[str]:
    command = (
        "tasks.embedded",
        "--port",
        "0",
        "--num-parallel",
        "2",
        "--engine",
        "tests.integration.prefect.web_engines:gated",
    )
    with forkserver.start(
        *command, cwd=ROOT, env={**environment, "ENGINE_GATES": str(gates)}, stdout=subprocess.DEVNULL
    ) as server:
        try:
            yield re.search(r"http://\S+?:\d+", server.stderr.readline())[0]
        finally:
            server.kill()
            server.stderr.read()


@contextmanager
def _worker(directory: Path, environment: dict[str, str]) -> Iterator[None]:
    """A worker of the pool, which it makes, and the deployment of prefect.yaml."""
    environment = {**PATIENT, **environment, "PREFECT_WORKER_QUERY_SECONDS": "1"}
    with (directory / "worker.log").open("wb") as log:
        worker = forkserver.start(
            *("prefect", "worker", "start", "--pool", "hearth", "--type", "process"),
            cwd=directory,
            env=environment,
            stdout=log,
            stderr=log,
            new_session=True,
        )
    try:
        pool = f"{environment['PREFECT_API_URL']}/work_pools/hearth"
        until(lambda: httpx.get(pool, timeout=PATIENCE).is_success)
        fork_runs(environment["PREFECT_API_URL"])
        forkserver.run("prefect", "--no-prompt", "deploy", "--name", "on-demand", cwd=ROOT, env=environment)
        yield
    finally:
        os.killpg(worker.pid, signal.SIGTERM)
        worker.wait(PATIENCE)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]
