"""One look at a pool serves all in a process that follow its machines, whatever thread they are in."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tasks.aws.client import Aws
from tasks.backends.ec2.machine import Machine
from tasks.backends.ec2.sightings import Sightings, sightings_of
from tasks.core.errors import CloudError
from tests.support.waiting import PATIENCE, until, until_async

NONE: tuple[Machine, ...] = ()
LONG = 1000.0


class Look:
    """A look that ends when it is told to, and counts."""

    def __init__(self, *, held: bool = False, error: Exception | None = None) -> None:
        self.count = 0
        self.error = error
        self.open = threading.Event()
        if not held:
            self.open.set()

    async def __call__(self) -> tuple[Machine, ...]:
        self.count += 1
        await asyncio.to_thread(self.open.wait, PATIENCE)
        if self.error is not None:
            raise self.error
        return NONE


async def test_of_many_who_ask_at_once_one_looks():
    sightings, look = Sightings(), Look(held=True)
    asking = [asyncio.create_task(sightings.recent(look, LONG)) for _ in range(20)]
    await until_async(lambda: look.count)
    look.open.set()
    assert await asyncio.gather(*asking) == [NONE] * 20
    assert look.count == 1


def test_so_it_is_among_threads_with_event_loops_of_their_own():
    sightings, look = Sightings(), Look(held=True)
    with ThreadPoolExecutor(8) as threads:
        asking = [threads.submit(lambda: asyncio.run(sightings.recent(look, LONG))) for _ in range(8)]
        until(lambda: look.count)
        look.open.set()
        assert [each.result(PATIENCE) for each in asking] == [NONE] * 8
    assert look.count == 1


async def test_what_was_seen_lately_is_not_looked_for_again_and_what_is_older_is(monkeypatch: pytest.MonkeyPatch):
    sightings, look = Sightings(), Look()
    await sightings.recent(look, 3)
    await sightings.recent(look, 3)
    assert look.count == 1
    later = time.monotonic() + 3
    monkeypatch.setattr("tasks.backends.ec2.sightings.time.monotonic", lambda: later)
    await sightings.recent(look, 3)
    assert look.count == 2


async def test_a_fresh_look_is_shared_with_the_others(monkeypatch: pytest.MonkeyPatch):
    sightings, look = Sightings(), Look()
    await sightings.fresh(look)
    await sightings.fresh(look)
    assert look.count == 2
    await sightings.recent(look, LONG)
    assert look.count == 2


async def test_who_waits_for_a_look_that_fails_looks_himself():
    sightings, failing, other = Sightings(), Look(held=True, error=CloudError("throttled")), Look()
    first = asyncio.create_task(sightings.recent(failing, LONG))
    await until_async(lambda: failing.count)
    second = asyncio.create_task(sightings.recent(other, LONG))
    await asyncio.sleep(0)
    failing.open.set()
    with pytest.raises(CloudError, match="throttled"):
        await first
    assert await second == NONE
    assert other.count == 1


async def test_a_look_that_is_interrupted_leaves_the_others_to_look():
    sightings, held, other = Sightings(), Look(held=True), Look()
    first = asyncio.create_task(sightings.recent(held, LONG))
    await until_async(lambda: held.count)
    second = asyncio.create_task(sightings.recent(other, LONG))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == NONE
    held.open.set()
    assert await sightings.recent(other, LONG) == NONE


async def test_who_is_interrupted_while_he_waits_takes_nothing_from_the_others():
    sightings, look = Sightings(), Look(held=True)
    first = asyncio.create_task(sightings.recent(look, LONG))
    await until_async(lambda: look.count)
    second = asyncio.create_task(sightings.recent(look, LONG))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    look.open.set()
    assert await first == NONE


def test_runs_of_a_pool_share_them_and_other_pools_do_not():
    assert sightings_of("https://ec2", "a", "lt-1") is sightings_of("https://ec2", "a", "lt-1")
    assert sightings_of("https://ec2", "a", "lt-1") is not sightings_of("https://ec2", "b", "lt-1")


def test_ec2_is_asked_less_often_while_it_throttles_but_not_where_an_answer_must_come_in_time(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    aws = Aws("us-east-1")
    assert aws.ec2.meta.config.retries["mode"] == "adaptive"
    assert aws.ec2_at_once.meta.config.retries["mode"] == "standard"
    assert aws.dynamodb.meta.config.retries["mode"] == "standard"
