"""The cap on pages in flight, and the loop of their own on which they run."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.progress import Stage, heard_by, tell
from tasks.slots import Slots
from tasks.work_loop import WorkLoop


async def settle() -> None:
    """Let every task go as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)


# Slots


@given(st.integers(1, 6), st.lists(st.integers(0, 5), min_size=1, max_size=30))
def test_the_slots_are_as_full_as_they_can_be_and_never_fuller(count, lengths):
    """Calls of any lengths: at each moment `count` of them, or all that are left."""
    seen: list[tuple[int, int]] = []
    left = len(lengths)

    async def main() -> None:
        slots = Slots(count)

        async def call(length: int) -> None:
            nonlocal left
            for _ in range(length + 1):
                await settle()
                seen.append((slots.in_flight, left))
            left -= 1

        await asyncio.gather(*(slots.run(lambda length=length: call(length)) for length in lengths))
        assert slots.in_flight == 0

    asyncio.run(main())
    assert all(busy <= count for busy, _ in seen)
    assert seen[0][0] == min(count, len(lengths))


async def test_a_call_gives_its_result():
    assert await Slots(1).run(lambda: asyncio.sleep(0, "text")) == "text"


async def test_first_come_first_served():
    slots, order = Slots(1), []

    async def call(number: int) -> None:
        order.append(number)
        await settle()

    await asyncio.gather(*(slots.run(lambda number=number: call(number)) for number in range(20)))
    assert order == list(range(20))


async def test_a_call_that_fails_frees_its_slot():
    slots = Slots(1)

    async def failing() -> None:
        raise ValueError("of the call's own")

    with pytest.raises(ValueError, match="of the call's own"):
        await slots.run(failing)
    assert await slots.run(lambda: asyncio.sleep(0, "next")) == "next"


async def test_a_call_that_is_cancelled_frees_its_slot():
    slots = Slots(1)
    task = asyncio.create_task(slots.run(asyncio.Event().wait))
    await settle()
    assert slots.in_flight == 1
    task.cancel()
    assert await slots.run(lambda: asyncio.sleep(0, "next")) == "next"


async def test_who_leaves_the_line_is_never_served():
    slots, served, go_on = Slots(1), [], asyncio.Event()

    async def call(number: int) -> None:
        served.append(number)
        await go_on.wait()

    tasks = [asyncio.create_task(slots.run(lambda number=number: call(number))) for number in range(4)]
    await settle()
    tasks[1].cancel()
    go_on.set()
    await asyncio.wait(tasks)
    assert served == [0, 2, 3]


# The loop


async def test_calls_run_in_another_thread():
    async def where() -> str:
        return threading.current_thread().name

    async with WorkLoop() as work:
        assert await work.run(where) == "hearth-work"


async def test_work_goes_on_while_the_callers_loop_is_busy():
    """The caller blocks its own loop until the work has gone on: it would wait in vain on one loop."""
    gone_on = threading.Event()

    async def working() -> None:
        await settle()
        gone_on.set()

    async with WorkLoop() as work:
        task = asyncio.create_task(work.run(working))
        await asyncio.sleep(0)
        assert gone_on.wait(10)
        await task


async def test_the_caller_goes_on_while_the_work_is_busy():
    gone_on = threading.Event()

    async def blocking() -> bool:
        return gone_on.wait(10)

    async with WorkLoop() as work:
        task = asyncio.create_task(work.run(blocking))
        await settle()
        gone_on.set()
        assert await task


async def test_an_error_reaches_the_caller():
    async def failing() -> None:
        raise ValueError("of the work's own")

    async with WorkLoop() as work:
        with pytest.raises(ValueError, match="of the work's own"):
            await work.run(failing)


async def test_who_listens_here_hears_what_is_told_there():
    async def telling() -> None:
        tell(Stage("reading"))

    heard = []
    async with WorkLoop() as work:
        with heard_by(heard.append):
            await work.run(telling)
    assert heard == [Stage("reading")]


async def test_cancelling_the_wait_cancels_the_call():
    started, ended = threading.Event(), threading.Event()

    async def waiting() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with WorkLoop() as work:
        task = asyncio.create_task(work.run(waiting))
        await asyncio.to_thread(started.wait, 10)
        task.cancel()
        assert await asyncio.to_thread(ended.wait, 10)


async def test_the_loop_ends_only_when_cancelled_calls_have_wound_up():
    """A renderer ends its process so; a connection is closed so."""
    started, wound_up = threading.Event(), threading.Event()

    async def waiting() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.1)
            wound_up.set()

    async with WorkLoop() as work:
        task = asyncio.create_task(work.run(waiting))
        await asyncio.to_thread(started.wait, 10)
        task.cancel()
    assert wound_up.is_set()


@pytest.mark.parametrize("error", [None, KeyError("in the body")])
async def test_what_is_opened_there_is_closed_there(error):
    threads = []

    @asynccontextmanager
    async def resource():
        threads.append(threading.current_thread().name)
        yield "resource"
        threads.append(threading.current_thread().name)

    async def use() -> None:
        async with WorkLoop() as work, work.opened(resource()) as opened:
            assert opened == "resource"
            if error:
                raise error

    if error:
        with pytest.raises(KeyError):
            await use()
    else:
        await use()
    assert threads == ["hearth-work"] * 2
