"""How many pages are open at once, and which of those that wait comes next."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

import pytest

from tasks.serving.admission_limiter import AdmissionClosedError, AdmissionLimiter
from tests.support.waiting import PATIENCE


async def settled() -> None:
    """Whoever could go on has done so; places are told from loop to loop, which takes a few turns."""
    for _ in range(10):
        await asyncio.sleep(0)


class Pages:
    """Each takes a place when it can, and gives it back when it is told to."""

    def __init__(self, limiter: AdmissionLimiter) -> None:
        self.limiter = limiter
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
        await self.limiter.acquire()
        try:
            self.begun.append(number)
            await self._ends[number].wait()
        finally:
            self.limiter.release()


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
    limiter = AdmissionLimiter(1)
    pages = Pages(limiter)
    await pages.ask(1, 2)
    limiter.resize(2)
    await pages.ask(3)
    assert pages.begun == [1, 2]


async def test_growing_admits_as_many_as_it_grew_by():
    limiter = AdmissionLimiter(1)
    pages = Pages(limiter)
    await pages.ask(1, 2, 3, 4)
    limiter.resize(3)
    await settled()
    assert pages.begun == [1, 2, 3]


async def test_shrinking_takes_nobodys_place_and_admits_nobody_until_enough_are_free():
    limiter = AdmissionLimiter(3)
    pages = Pages(limiter)
    await pages.ask(1, 2, 3, 4, 5)
    limiter.resize(1)
    await settled()
    for number in (1, 2):
        await pages.end(number)
        assert pages.begun == [1, 2, 3]
    await pages.end(3)
    assert pages.begun == [1, 2, 3, 4]


async def test_without_places_pages_wait_until_there_are_some():
    limiter = AdmissionLimiter(0)
    pages = Pages(limiter)
    await pages.ask(1)
    assert pages.begun == []
    limiter.resize(1)
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
    limiter = AdmissionLimiter(1)
    await limiter.acquire()
    waits = asyncio.create_task(limiter.acquire())
    await settled()
    limiter.release()  # it is given the place, and has not yet been told
    waits.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waits
    async with asyncio.timeout(PATIENCE):
        await limiter.acquire()


async def test_it_may_be_resized_from_any_thread_at_any_time():
    limiter, open_now, most, size = AdmissionLimiter(4), 0, 0, 8
    stop = threading.Event()

    def resize() -> None:
        while not stop.is_set():
            for size in (1, 8, 3, 0, 5):
                limiter.resize(size)

    async def page() -> None:
        nonlocal open_now, most
        await limiter.acquire()
        open_now += 1
        most = max(most, open_now)
        try:
            await asyncio.sleep(0)
        finally:  # it may be given up while it is open, too
            open_now -= 1
            limiter.release()

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
    limiter.resize(size)
    async with asyncio.timeout(PATIENCE):
        for each in pages:
            with suppress(asyncio.CancelledError):
                await each
        for _ in range(size):  # none was lost on the way
            await limiter.acquire()
    assert open_now == 0
    assert 1 < most <= size


async def test_documents_are_admitted_one_after_the_other_and_the_next_as_soon_as_one_has_begun_its_pages():
    limiter, begun = AdmissionLimiter(9), []

    async def document(name: str, pages: int) -> None:
        async with limiter.admission(pages, lambda: begun.append(f"all of {name}")) as admission:
            for page in range(pages):
                await admission.acquire()
                begun.append(f"{name}{page}")
                await settled()
            admission.end()
            await asyncio.Event().wait()  # its pages are read

    reading = [asyncio.create_task(document(name, pages)) for name, pages in (("a", 2), ("b", 1))]
    for _ in range(5):
        await settled()
    assert begun == ["a0", "a1", "all of a", "b0", "all of b"]
    for task in reading:
        task.cancel()


async def test_pages_that_were_not_admitted_are_left_until_their_document_ends():
    limiter = AdmissionLimiter(1)
    async with limiter.admission(3) as admission:
        await admission.acquire()
        assert limiter.left == 2
        limiter.close()
        with pytest.raises(AdmissionClosedError):
            await admission.acquire()
        assert limiter.left == 2
    assert limiter.left == 0


async def test_after_a_stop_a_document_admits_no_page_and_the_next_document_has_its_places():
    limiter = AdmissionLimiter(1)
    async with limiter.admission(3) as admission:
        await admission.acquire()
        waiting = asyncio.create_task(admission.acquire())
        await settled()
        admission.stop()
        admission.release()
        with pytest.raises(AdmissionClosedError):
            await waiting
    async with asyncio.timeout(PATIENCE), limiter.admission(1) as other:
        await other.acquire()
