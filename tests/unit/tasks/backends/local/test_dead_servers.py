"""A server of this machine that dies while it is used: noticed at once, and nothing that it started stays."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tasks.backends.local.lease import LocalLease
from tasks.backends.local.server import LeasedServer, ServerSpec, lease_server
from tasks.backends.local.server_state import local_servers, stop_server
from tasks.core.file_locks import take_exclusive
from tasks.settings.settings import Settings
from tests.support.waiting import PATIENCE, until, until_async

# As `ollama serve` does, it has a child in its group; and another that has left the group and the session.
# It answers with the processes of all three.
SERVER = """
import os, signal, subprocess, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
wait = [sys.executable, "-c", "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pause()"]
pids = [os.getpid(), subprocess.Popen(wait).pid, subprocess.Popen(wait, start_new_session=True).pid]
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        text = " ".join(map(str, pids)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    def log_message(self, *_):
        pass
HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
SPEC = ServerSpec("test", lambda port: [sys.executable, "-c", SERVER, str(port)], "/", slots=3)

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells whose a process is")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    for state in local_servers(tmp_path):
        stop_server(state)
    for directory in tmp_path.glob("servers/*"):
        take_exclusive(directory / "alive.lock").release()


@pytest.fixture
async def server(home: Path) -> AsyncIterator[LeasedServer]:
    server = await leased(home)
    yield server
    server.lease.release()


async def leased(home: Path) -> LeasedServer:
    return await lease_server(SPEC, home, idle_seconds=60, deadline_seconds=PATIENCE)


def pids(server: LeasedServer) -> list[int]:
    return [int(pid) for pid in httpx.get(server.url).text.split()]


def ends(*processes: int) -> None:
    def runs(pid: int) -> bool:
        try:
            return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    until(lambda: not any(map(runs, processes)))


def watchdog(home: Path) -> int:
    (state,) = local_servers(home)
    return state.watchdog_pid


async def test_the_child_of_a_killed_server_ends_with_it(server):
    """It had memory that nobody else would have given back."""
    leader, child, _ = pids(server)
    os.kill(leader, signal.SIGKILL)
    await asyncio.to_thread(ends, leader, child)


@linux
async def test_a_child_that_left_the_group_ends_with_it_too(server):
    processes = pids(server)
    os.kill(processes[0], signal.SIGKILL)
    await asyncio.to_thread(ends, *processes)


async def test_the_child_of_a_server_that_is_stopped_ends_with_it(server, home):
    processes = pids(server)
    os.kill(watchdog(home), signal.SIGTERM)
    await asyncio.to_thread(ends, *processes)


@linux
async def test_what_is_left_when_server_and_watchdog_were_killed_ends_before_another_starts(server, home):
    processes = pids(server)
    for process in (watchdog(home), processes[0]):
        os.kill(process, signal.SIGKILL)
    another = await leased(home)
    ends(*processes)
    assert not set(pids(another)) & set(processes)
    another.lease.release()


async def test_a_run_learns_at_once_that_its_server_was_killed(server, home):
    lease = LocalLease(server, Settings(home=home))
    assert not lease.interruption.gone
    os.kill(pids(server)[0], signal.SIGKILL)
    await until_async(lambda: lease.interruption.gone)
    assert f"the server at {server.url} has ended; its log is in {server.directory.path}" == lease.interruption.why
    lease.release()


async def test_a_run_learns_of_its_dead_server_even_if_another_replaces_it_at_once(server, home):
    os.kill(pids(server)[0], signal.SIGKILL)
    another = await leased(home)
    assert server.has_ended()
    assert not another.has_ended()
    another.lease.release()


async def test_a_server_in_use_is_taken_for_alive_when_nobody_else_uses_it(server):
    lease = LocalLease(server, Settings(home=server.directory.path.parents[1]))
    other = await leased(server.directory.path.parents[1])
    other.lease.release()
    await asyncio.sleep(1)
    assert not lease.interruption.gone
    lease.release()


async def test_the_log_of_a_server_that_died_is_kept_when_another_starts(server, home):
    server.directory.log.write_text("the last words")
    os.kill(pids(server)[0], signal.SIGKILL)
    another = await leased(home)
    assert server.directory.last_log.read_text() == "the last words"
    another.lease.release()
