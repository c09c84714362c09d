"""Servers of this machine, and runs of other processes that lease them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from tasks.backends.local.server import LeasedServer, ServerSpec, lease_server
from tests.support.waiting import PATIENCE, until

# Answers every request with its process id and $GREETING; each start is a line in the file that it is given.
# Told to stop, it goes on for $LINGER seconds, as a server does that is still busy.
SERVER = """
import os, signal, sys, threading
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        text = f"{os.getpid()} {os.environ.get('GREETING', '')}".encode()
        self.send_response(200 if self.path == "/health" else 404)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    def log_message(self, *_):
        pass
def linger(*_):
    threading.Timer(float(os.environ.get("LINGER", "0")), os._exit, (0,)).start()
signal.signal(signal.SIGTERM, linger)
with open(sys.argv[2], "a") as starts:
    print(os.getpid(), file=starts)
HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""

# A run of another process: leases, tells what it got, and lets go when its stdin ends.
RUN = """
import asyncio, sys
from pathlib import Path
from tasks.backends.local.server import lease_server
from tests.unit.tasks.leasing.leased_servers import Machine
machine = Machine(Path(sys.argv[1]))
server = asyncio.run(lease_server(machine.spec(), machine.home, idle_seconds=float(sys.argv[2]), deadline_seconds=240))
print(server.started, server.url, flush=True)
sys.stdin.read()
"""

ROOT = Path(__file__).parents[4]


@dataclass
class Machine:
    """A machine's directory of servers, and a kind of server to keep there."""

    home: Path
    runs: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def starts(self) -> list[int]:
        """The process of each server that was started, in order."""
        path = self.home / "starts"
        return [int(line) for line in path.read_text().splitlines()] if path.exists() else []

    def spec(self, variant: str = "") -> ServerSpec:
        def command(port: int) -> list[str]:
            return [sys.executable, "-c", SERVER, str(port), str(self.home / "starts")]

        return ServerSpec("test", command, "/health", variant)

    async def lease(self, spec: ServerSpec | None = None, idle: float = 60, deadline: float = PATIENCE) -> LeasedServer:
        return await lease_server(spec or self.spec(), self.home, idle_seconds=idle, deadline_seconds=deadline)

    def run(self, idle: float = 60) -> subprocess.Popen[str]:
        """A run in a process of its own, as soon as it has its lease."""
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        command = [sys.executable, "-c", RUN, str(self.home), str(idle)]
        self.runs.append(subprocess.Popen(command, cwd=ROOT, **pipes))
        return self.runs[-1]


def answer(server: LeasedServer) -> list[str]:
    return httpx.get(f"{server.url}/health").text.split()


def ask(server: LeasedServer) -> int:
    """The process that answers."""
    return int(answer(server)[0])


def runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def ends(*pids: int) -> None:
    until(lambda: not any(map(runs, pids)))
