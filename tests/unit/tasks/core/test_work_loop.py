"""The separate event loop on which pages are read."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import asynccontextmanager

import pytest

from tasks.core import aio
from tasks.core.aio import WorkLoop
from tasks.core.events import Progress, emit, subscribe
from tests.support.waiting import PATIENCE


async def settle() -> None:
    """Let every task go as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)


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
        assert gone_on.wait(PATIENCE)
        await task


async def test_the_caller_goes_on_while_the_work_is_busy():
    gone_on = threading.Event()

    async def blocking() -> bool:
        return gone_on.wait(PATIENCE)

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
        emit(Progress("reading"))

    heard = []
    async with WorkLoop() as work:
        with subscribe(heard.append):
            await work.run(telling)
    assert heard == [Progress("reading")]


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
        await asyncio.to_thread(started.wait, PATIENCE)
        task.cancel()
        assert await asyncio.to_thread(ended.wait, PATIENCE)


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
        await asyncio.to_thread(started.wait, PATIENCE)
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


async def test_a_thread_that_hangs_does_not_hold_the_end_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(aio, "THREADS_SECONDS", 0.05)
    hung, let_go = threading.Event(), threading.Event()

    def hang() -> None:
        hung.set()
        let_go.wait(PATIENCE)

    try:
        async with WorkLoop() as work:
            waiting = asyncio.create_task(work.run(lambda: asyncio.to_thread(hang)))
            await asyncio.to_thread(hung.wait)
            waiting.cancel()
        assert not let_go.is_set()
    finally:
        let_go.set()


async def test_a_thread_that_stores_something_is_waited_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(aio, "THREADS_SECONDS", PATIENCE)
    began, stored = threading.Event(), threading.Event()

    def store() -> None:
        began.set()
        time.sleep(0.3)
        stored.set()

    async with WorkLoop() as work:
        waiting = asyncio.create_task(work.run(lambda: asyncio.to_thread(store)))
        await asyncio.to_thread(began.wait)
        waiting.cancel()
    assert stored.is_set()
