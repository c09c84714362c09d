"""Several servers' slots as one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from tasks.core.errors import ServerError
from tasks.serving.server_pool import Server, Servers
from tests.support.pooled import pooled
from tests.support.waiting import PATIENCE

Pool = tuple[Servers, list[Server]]


@pytest.fixture
async def two(tmp_path) -> AsyncIterator[Pool]:
    """Two servers of two slots; nothing is sent to them."""
    async with pooled("http://one", "http://two", home=tmp_path, slots=2) as pool:
        yield pool


async def taken(servers: Servers, stack: AsyncExitStack, **how: object) -> Server:
    async with asyncio.timeout(PATIENCE):
        return await stack.enter_async_context(servers.slot(**how))


async def settle() -> None:
    """Let every task go as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def waiting(task: asyncio.Task) -> bool:
    await settle()
    return not task.done()


async def test_the_least_loaded_gets_the_next_page(two):
    servers, (one, other) = two
    async with AsyncExitStack() as stack:
        assert {await taken(servers, stack), await taken(servers, stack)} == {one, other}
        assert (one.share.in_flight, other.share.in_flight) == (1, 1)


async def test_all_slots_of_all_of_them_are_used_and_no_more(two):
    servers, joined = two
    async with AsyncExitStack() as stack:
        for _ in range(servers.capacity):
            await taken(servers, stack)
        assert [server.share.in_flight for server in joined] == [2, 2]
        fifth = asyncio.create_task(taken(servers, stack))
        assert await waiting(fifth)
        fifth.cancel()


async def test_first_come_first_served(two):
    servers, _ = two
    order: list[int] = []

    async def page(number: int) -> None:
        async with servers.slot():
            order.append(number)
            await asyncio.sleep(0)

    await asyncio.gather(*(page(number) for number in range(30)))
    assert order == list(range(30))


async def test_who_is_urgent_comes_before_those_who_wait(two):
    servers, _ = two
    order: list[str] = []

    async def page(name: str, *, first: bool = False) -> None:
        async with servers.slot(first=first):
            order.append(name)

    async with AsyncExitStack() as stack:
        for _ in range(4):
            await taken(servers, stack)
        tasks = [asyncio.create_task(page("waits"))]
        await settle()
        tasks.append(asyncio.create_task(page("urgent", first=True)))
        await settle()
    await asyncio.gather(*tasks)
    assert order == ["urgent", "waits"]


async def test_a_page_can_be_kept_from_a_server(two):
    servers, (one, other) = two
    async with AsyncExitStack() as stack:
        assert [await taken(servers, stack, other_than=(one,)) for _ in range(2)] == [other, other]
        third = asyncio.create_task(taken(servers, stack, other_than=(one,)))
        assert await waiting(third)
        third.cancel()


async def test_who_leaves_the_line_takes_no_slot(two):
    servers, joined = two
    async with AsyncExitStack() as stack:
        for _ in range(4):
            await taken(servers, stack)
        gone = asyncio.create_task(taken(servers, stack))
        await settle()
        gone.cancel()
    await asyncio.wait({gone})
    assert [server.share.in_flight for server in joined] == [0, 0]


async def test_a_slot_that_comes_just_as_its_page_is_cancelled_is_given_back(two):
    servers, joined = two
    async with AsyncExitStack() as stack:
        for _ in range(4):
            await taken(servers, stack)
        late = asyncio.create_task(taken(servers, stack))
        await settle()
        joined[0].share.give()
        servers.deal()  # the slot is its own now, and it has not run since
        late.cancel()
        await asyncio.wait({late})
        assert joined[0].share.in_flight == 1
        joined[0].share.take()


async def test_a_server_that_leaves_gets_no_more_pages_and_is_drained_when_its_last_has_ended(two):
    servers, (one, other) = two
    async with AsyncExitStack() as stack:
        async with servers.slot(other_than=(other,)):
            drained = asyncio.create_task(servers.drained(one))
            assert await waiting(drained)
            assert [await taken(servers, stack) for _ in range(2)] == [other, other]
        await asyncio.wait_for(drained, PATIENCE)


async def test_who_waits_is_told_when_no_server_will_come(two):
    servers, joined = two
    async with AsyncExitStack() as stack:
        for _ in range(4):
            await taken(servers, stack)
        waits = asyncio.create_task(taken(servers, stack))
        await settle()
        for server in joined:
            servers.fail(server, ServerError("it burnt down"))
        with pytest.raises(ServerError, match="burnt down"):
            await asyncio.wait_for(waits, PATIENCE)
        with pytest.raises(ServerError, match="burnt down"):
            await taken(servers, stack)


async def test_who_waits_is_served_by_a_server_that_joins(two):
    servers, (one, other) = two
    async with AsyncExitStack() as stack:
        servers.leave(one)
        servers.leave(other)
        page = asyncio.create_task(taken(servers, stack))
        assert await waiting(page)
        servers.join(other)
        assert await asyncio.wait_for(page, PATIENCE) is other
