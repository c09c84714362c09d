"""Servers of this machine: kept while leased, stopped when idle, whatever is killed meanwhile."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from dataclasses import replace

import pytest

from tasks.backends.local.server_state import local_servers, stop_server
from tasks.core.errors import ServerError
from tasks.core.file_locks import is_held, take_exclusive, try_exclusive
from tests.support.waiting import PATIENCE, until
from tests.unit.tasks.leasing.leased_servers import Machine, ask, ends

pytestmark = pytest.mark.long("servers that end while they are used: 18 s in all")

IDLE = 0.05


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


async def test_a_server_that_is_stopped_by_hand_stops_although_it_is_leased(machine):
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
    assert list(local_servers(machine.home)) == []
    assert len(machine.starts) == 1


@pytest.mark.long("servers that stop and start again and again: 12 s")
async def test_a_lease_taken_at_the_last_moment_keeps_the_server_or_gets_another(machine):
    """Each lease comes at another moment around the watchdog's look, and the stop that follows."""
    moments = random.Random(1)

    async def customer(variant: str) -> None:
        spec = replace(machine.spec(variant), environment=lambda _port: {"LINGER": "0.2"})
        leases = 0
        while leases < 5 or len(machine.starts) <= 3:  # until one of them has been started anew
            leases += 1
            server = await machine.lease(spec, idle=0.001)
            for _ in range(3):
                assert await asyncio.to_thread(ask, server) in machine.starts
                await asyncio.sleep(0.08)
            server.lease.release()
            await asyncio.sleep(moments.uniform(0.5, 1.2))

    async with asyncio.timeout(2 * PATIENCE):
        await asyncio.gather(*(customer(variant) for variant in ("a", "b", "c")))


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
async def test_a_server_that_does_not_start_is_reported_with_the_end_of_its_log(machine, command, log):
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
