"""Tasks that release something finish doing so, however they are cancelled."""

from __future__ import annotations

import asyncio

import pytest

from tasks.core.aio import background, cancel_and_wait
from tests.support.waiting import PATIENCE


async def gives_back(given: list[str], began: asyncio.Event) -> None:
    try:
        began.set()
        await asyncio.Event().wait()
    finally:
        for step in ("slots", "lease"):
            for _ in range(10):
                await asyncio.sleep(0)
            given.append(step)


async def test_what_is_given_back_is_so_though_all_tasks_are_cancelled_at_once():
    given: list[str] = []
    began = asyncio.Event()

    async def run() -> None:
        working = asyncio.create_task(gives_back(given, began))
        try:
            await asyncio.wait({working})
        finally:
            await cancel_and_wait(working)

    running = asyncio.create_task(run())
    await began.wait()
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()  # as asyncio.run does when a signal ends the loop
    await asyncio.wait({running})
    assert given == ["slots", "lease"]
    assert running.cancelled()


async def test_the_wait_goes_on_when_it_is_cancelled_again_and_is_cancelled_then():
    given: list[str] = []
    began = asyncio.Event()
    working = asyncio.create_task(gives_back(given, began))
    await began.wait()
    ending = asyncio.create_task(cancel_and_wait(working))
    for _ in range(2):
        for _ in range(3):
            await asyncio.sleep(0)
        ending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ending
    assert given == ["slots", "lease"]


async def test_tasks_that_have_ended_are_not_waited_for():
    done = asyncio.create_task(asyncio.sleep(0))
    await done
    await cancel_and_wait(done)
    await cancel_and_wait()
    assert not done.cancelled()


async def test_a_task_that_a_time_out_of_its_own_is_just_cancelling_is_ended_all_the_same():
    async def go_on() -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            assert task is not None
            task.uncancel()  # as asyncio.timeout does
        await asyncio.sleep(3600)

    working = asyncio.create_task(go_on())
    await asyncio.sleep(0)
    working.cancel()
    async with asyncio.timeout(PATIENCE):
        await cancel_and_wait(working)
    assert working.cancelled()


async def test_background_work_ends_with_the_block():
    began, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        try:
            began.set()
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with background(work()):
        await began.wait()
        assert not ended.is_set()
    assert ended.is_set()
