"""How many pages are open at once, and which of those that wait comes next."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

import pytest

from tasks.serving.admission_limiter import AdmissionLimiter
from tests.support.waiting import PATIENCE


async def settled() -> None:
    """Whoever could go on has done so; places are told from loop to loop, which takes a few turns."""
    for _ in range(10):
        await asyncio.sleep(0)


class Pages:
    """Each takes a place when it can, and gives it back when it is told to."""

    def __init__(self, window: AdmissionLimiter) -> None:
        self.window = window
        self.begun: list[int] = []
        self._ends: dict[int, asyncio.Event] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def ask(self, *numbers: int) -> None:
        for number in numbers:
            self._ends[number] = asyncio.Event()
            self._tasks[number] = asyncio.create_task(self._open(number))
        await settled()

    async def end(self, number: int) -> None:
        self._ends[number].set()
        await settled()

    async def give_up(self, number: int) -> None:
        self._tasks[number].cancel()
        await settled()

    async def _open(self, number: int) -> None:
        async with self.window:
            self.begun.append(number)
            await self._ends[number].wait()


async def test_no_more_pages_begin_than_there_are_places():
    pages = Pages(AdmissionLimiter(2))
    await pages.ask(1, 2, 3, 4)
    assert pages.begun == [1, 2]


async def test_a_place_given_back_goes_to_who_waits_longest():
    pages = Pages(AdmissionLimiter(2))
    await pages.ask(1, 2, 3, 4, 5)
    await pages.end(2)
    await pages.end(1)
    assert pages.begun == [1, 2, 3, 4]


async def test_a_newcomer_does_not_pass_those_who_wait():
    window = AdmissionLimiter(1)
    pages = Pages(window)
    await pages.ask(1, 2)
    window.resize(2)
    await pages.ask(3)
    assert pages.begun == [1, 2]


async def test_growing_admits_as_many_as_it_grew_by():
    window = AdmissionLimiter(1)
    pages = Pages(window)
    await pages.ask(1, 2, 3, 4)
    window.resize(3)
    await settled()
    assert pages.begun == [1, 2, 3]


async def test_shrinking_takes_nobodys_place_and_admits_nobody_until_enough_are_free():
    window = AdmissionLimiter(3)
    pages = Pages(window)
    await pages.ask(1, 2, 3, 4, 5)
    window.resize(1)
    await settled()
    for number in (1, 2):
        await pages.end(number)
        assert pages.begun == [1, 2, 3]
    await pages.end(3)
    assert pages.begun == [1, 2, 3, 4]


async def test_without_places_pages_wait_until_there_are_some():
    window = AdmissionLimiter(0)
    pages = Pages(window)
    await pages.ask(1)
    assert pages.begun == []
    window.resize(1)
    await settled()
    assert pages.begun == [1]


async def test_who_gives_up_waiting_loses_no_place_for_others():
    pages = Pages(AdmissionLimiter(1))
    await pages.ask(1, 2, 3)
    await pages.give_up(2)
    await pages.end(1)
    assert pages.begun == [1, 3]


async def test_who_is_cancelled_while_it_holds_a_place_gives_it_back():
    pages = Pages(AdmissionLimiter(1))
    await pages.ask(1, 2)
    await pages.give_up(1)
    assert pages.begun == [1, 2]


async def test_a_place_given_to_one_who_gives_up_at_that_moment_goes_on_to_the_next():
    window = AdmissionLimiter(1)
    await window.acquire()
    waits = asyncio.create_task(window.acquire())
    await settled()
    window.release()  # it is given the place, and has not yet been told
    waits.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waits
    async with asyncio.timeout(PATIENCE):
        await window.acquire()


async def test_it_may_be_resized_from_any_thread_at_any_time():
    window, open_now, most, size = AdmissionLimiter(4), 0, 0, 8
    stop = threading.Event()

    def resize() -> None:
        while not stop.is_set():
            for size in (1, 8, 3, 0, 5):
                window.resize(size)

    async def page() -> None:
        nonlocal open_now, most
        async with window:
            open_now += 1
            most = max(most, open_now)
            try:
                await asyncio.sleep(0)
            finally:  # it may be given up while it is open, too
                open_now -= 1

    threads = [threading.Thread(target=resize) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        pages = [asyncio.create_task(page()) for _ in range(400)]
        for given_up in pages[::7]:
            await asyncio.sleep(0)
            given_up.cancel()
        await asyncio.sleep(0.05)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    window.resize(size)
    async with asyncio.timeout(PATIENCE):
        for each in pages:
            with suppress(asyncio.CancelledError):
                await each
        for _ in range(size):  # none was lost on the way
            await window.acquire()
    assert open_now == 0
    assert 1 < most <= size
