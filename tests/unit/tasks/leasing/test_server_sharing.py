"""Servers of this machine: started once, and shared."""

from __future__ import annotations

import asyncio
import socket
import time
from dataclasses import replace

from tasks.backends.local.server_state import local_servers
from tests.support.waiting import until
from tests.unit.tasks.leasing.leased_servers import answer, ask


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
