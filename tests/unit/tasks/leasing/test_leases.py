"""Servers of this machine: started once, shared, kept while leased, stopped when idle, whatever is killed meanwhile."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import psutil
import pytest

from tasks.backends.local.server import LeasedServer, ServerSpec, lease_server
from tasks.backends.local.server_state import local_servers, stop_server
from tasks.core.errors import ServerError
from tasks.storage.file_locks import is_held, take_exclusive, take_shared, try_exclusive
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
from tests.unit.tasks.leasing.test_leases import Machine
machine = Machine(Path(sys.argv[1]))
server = asyncio.run(lease_server(machine.spec(), machine.home, idle_seconds=float(sys.argv[2]), deadline_seconds=240))
print(server.started, server.url, flush=True)
sys.stdin.read()
"""

# Holds a lease until it is killed.
HOLD = """
import sys, time
from pathlib import Path
from tasks.storage.file_locks import take_exclusive, take_shared
lease = {"shared": take_shared, "exclusive": take_exclusive}[sys.argv[2]](Path(sys.argv[1]))
print("held", flush=True)
time.sleep(600)
"""

ROOT = Path(__file__).parents[4]
IDLE = 0.05


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


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    home = tmp_path / "home"
    home.mkdir()
    machine = Machine(home)
    yield machine
    for run in machine.runs:
        run.kill()
        run.communicate()
    for directory in home.glob("servers/*"):
        for state in local_servers(home):
            stop_server(state)
        take_exclusive(directory / "alive.lock").release()
    ends(*machine.starts)


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


@contextmanager
def holder(path: Path, kind: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLD, str(path), kind]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


# Leases


def test_many_may_share_a_lease(tmp_path):
    leases = [take_shared(tmp_path / "lease") for _ in range(5)]
    assert try_exclusive(tmp_path / "lease") is None
    for lease in leases:
        lease.release()
    assert try_exclusive(tmp_path / "lease") is not None


def test_nobody_shares_what_is_held_exclusively(tmp_path):
    lease = take_exclusive(tmp_path / "lease")
    assert try_exclusive(tmp_path / "lease") is None
    assert is_held(tmp_path / "lease")
    lease.release()
    assert not is_held(tmp_path / "lease")


def test_what_was_never_leased_is_not_held(tmp_path):
    assert not is_held(tmp_path / "none")


def test_letting_go_twice_lets_go_of_nothing_else(tmp_path):
    lease = take_shared(tmp_path / "one")
    lease.release()
    other = take_exclusive(tmp_path / "other")  # it gets the file descriptor that became free
    lease.release()
    assert is_held(tmp_path / "other")
    other.release()


def test_a_lease_is_waited_for_until_the_exclusive_one_is_let_go(tmp_path):
    exclusive = take_exclusive(tmp_path / "lease")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(take_shared, tmp_path / "lease")
        time.sleep(0.05)
        assert not waiting.done()
        exclusive.release()
        waiting.result(PATIENCE).release()


@pytest.mark.parametrize("kind", ["shared", "exclusive"])
def test_a_killed_process_has_let_go(tmp_path, kind):
    with holder(tmp_path / "lease", kind) as process:
        assert try_exclusive(tmp_path / "lease") is None
        process.kill()
        process.wait()
        assert try_exclusive(tmp_path / "lease") is not None


def test_a_child_does_not_inherit_a_lease(tmp_path):
    lease = take_shared(tmp_path / "lease")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False) as child:
        lease.release()
        # The system closes what is not inherited a moment after the child's start is told.
        until(lambda: try_exclusive(tmp_path / "lease") is not None)
        child.kill()


def test_those_who_only_look_do_not_take_each_other_for_a_holder(tmp_path):
    path = tmp_path / "lease"
    path.touch()
    with ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(lambda _: any(is_held(path) for _ in range(300)), range(8)))
    assert not any(seen)


# Starting and sharing


async def test_a_server_is_started_and_answers(machine):
    server = await machine.lease()
    assert server.started
    assert [ask(server)] == machine.starts
    server.lease.release()


async def test_a_warm_server_is_used_again(machine):
    first = await machine.lease()
    first.lease.release()
    again = await machine.lease()
    assert not again.started
    assert ask(again) == machine.starts[0]
    assert len(machine.starts) == 1
    again.lease.release()


def test_processes_that_race_start_one_server(machine):
    runs = [machine.run() for _ in range(3)]
    told = [run.stdout.readline().split() for run in runs]
    assert sorted(started for started, _ in told) == ["False", "False", "True"]
    assert len({url for _, url in told}) == 1
    assert len(machine.starts) == 1


async def test_callers_that_race_in_one_process_start_one_server(machine):
    servers = await asyncio.gather(*(machine.lease() for _ in range(6)))
    assert sorted(server.started for server in servers) == [False] * 5 + [True]
    assert len(machine.starts) == 1
    for server in servers:
        server.lease.release()


async def test_variants_are_servers_of_their_own(machine):
    one, other = await machine.lease(machine.spec("two slots")), await machine.lease(machine.spec("four slots"))
    assert ask(one) != ask(other)
    for server in (one, other):
        server.lease.release()


async def test_a_server_gets_its_environment_and_its_port(machine):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    spec = replace(machine.spec(), port=port, environment=lambda port: {"GREETING": f"on-{port}"})
    server = await machine.lease(spec)
    assert server.url == f"http://127.0.0.1:{port}"
    assert answer(server)[1] == f"on-{port}"
    server.lease.release()


async def test_status_tells_who_is_in_use_and_who_stops_when(machine):
    server = await machine.lease(idle=60)
    (state,) = local_servers(machine.home)
    assert (state.url, state.stops_at) == (server.url, None)
    before = time.time()
    server.lease.release()
    await asyncio.to_thread(until, lambda: next(local_servers(machine.home)).stops_at is not None)
    (state,) = local_servers(machine.home)
    assert before + 60 <= state.stops_at <= time.time() + 60


# Stopping


async def test_an_idle_server_stops(machine):
    server = await machine.lease(idle=IDLE)
    server.lease.release()
    await asyncio.to_thread(ends, *machine.starts)
    assert list(local_servers(machine.home)) == []


async def test_a_leased_server_does_not_stop(machine):
    first, second = await machine.lease(idle=IDLE), await machine.lease()
    first.lease.release()
    await asyncio.sleep(1.2)  # two looks of the watchdog
    assert ask(second) == machine.starts[0]
    second.lease.release()


def test_a_server_stops_after_its_only_run_was_killed(machine):
    run = machine.run(idle=IDLE)
    assert run.stdout.readline().startswith("True")
    run.kill()
    ends(*machine.starts)


async def test_a_caller_that_gave_up_waiting_holds_no_lease(machine):
    directory = machine.spec().directory(machine.home)
    directory.path.mkdir(parents=True)
    stopping = take_exclusive(directory.lease)
    waiting = asyncio.create_task(machine.lease())
    await asyncio.sleep(0.05)
    waiting.cancel()
    await asyncio.wait([waiting])
    stopping.release()

    def free() -> bool:
        return try_exclusive(directory.lease) is not None

    await asyncio.to_thread(until, free)
    assert machine.starts == []


async def test_a_server_that_is_told_to_stop_does_so_though_it_is_leased(machine):
    server = await machine.lease()
    (state,) = local_servers(machine.home)
    stop_server(state)
    await asyncio.to_thread(ends, *machine.starts)
    server.lease.release()


async def test_stopping_what_has_stopped_is_no_error(machine):
    server = await machine.lease(idle=IDLE)
    (state,) = local_servers(machine.home)
    server.lease.release()
    await asyncio.to_thread(ends, *machine.starts, state.watchdog_pid)
    stop_server(state)


async def test_a_lease_taken_at_the_last_moment_keeps_the_server_or_gets_another(machine):
    """Each lease comes at another moment around the watchdog's look, and the stop that follows."""
    moments = random.Random(1)

    async def customer(variant: str) -> None:
        spec = replace(machine.spec(variant), environment=lambda _port: {"LINGER": "0.2"})
        for _ in range(5):
            server = await machine.lease(spec, idle=0.001)
            for _ in range(3):
                assert await asyncio.to_thread(ask, server) in machine.starts
                await asyncio.sleep(0.08)
            server.lease.release()
            await asyncio.sleep(moments.uniform(0.5, 1.2))

    await asyncio.gather(*(customer(variant) for variant in ("a", "b", "c")))
    assert len(machine.starts) > 3


# What dies


async def test_a_server_that_died_is_started_again(machine):
    first = await machine.lease()
    os.kill(machine.starts[0], signal.SIGKILL)
    second = await machine.lease()
    assert ask(second) == machine.starts[1]
    for server in (first, second):
        server.lease.release()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has died")
async def test_a_killed_watchdog_takes_its_server_with_it_and_another_is_started(machine):
    first = await machine.lease()
    (state,) = local_servers(machine.home)
    os.kill(state.watchdog_pid, signal.SIGKILL)
    await asyncio.to_thread(ends, machine.starts[0])
    assert list(local_servers(machine.home)) == []
    second = await machine.lease()
    assert second.started
    assert ask(second) == machine.starts[1]
    for server in (first, second):
        server.lease.release()


async def test_a_killed_watchdog_is_noticed_by_those_who_are_waiting(machine):
    """They would wait for a server that nobody will start any more until their deadline."""
    spec = replace(machine.spec(), health="/never")
    waiting = asyncio.create_task(machine.lease(spec, deadline=PATIENCE))
    await asyncio.to_thread(until, lambda: len(machine.starts) == 1)
    (state,) = local_servers(machine.home)
    os.kill(state.watchdog_pid, signal.SIGKILL)
    await asyncio.to_thread(until, lambda: len(machine.starts) == 2)
    waiting.cancel()
    await asyncio.wait([waiting])


@pytest.mark.parametrize(
    ("command", "log"),
    [
        ([sys.executable, "-c", "import sys; sys.exit('one\\ntwo\\nno GPU\\ngive up')"], "two | no GPU | give up"),
        (["/nowhere/ollama", "serve"], "No such file or directory: '/nowhere/ollama'"),
        (["false"], "(empty)"),
    ],
)
async def test_a_server_that_does_not_start_is_told_with_the_end_of_its_log(machine, command, log):
    spec = replace(machine.spec(), command=lambda _port: command)
    with pytest.raises(ServerError) as caught:
        await machine.lease(spec)
    assert "The test server did not start" in str(caught.value)
    assert str(caught.value).endswith(log)
    assert is_held(spec.directory(machine.home).lease) is False


async def test_a_server_that_never_gets_healthy_is_given_up_at_the_deadline(machine):
    with pytest.raises(ServerError, match="did not start"):
        await machine.lease(replace(machine.spec(), health="/never"), deadline=0.5)


async def test_a_home_that_cannot_be_made_is_named_with_a_remedy(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ServerError, match=r"file/home.*HEARTH_HOME"):
        await Machine(tmp_path / "file" / "home").lease()
