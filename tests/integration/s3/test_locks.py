"""Results under s3://: conditional writes, under locks that expire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tasks.aws.client import Aws
from tasks.backends.base import MachineFacts
from tasks.core.events import Progress, subscribe
from tasks.core.jobs import BackendName
from tasks.core.replicas import Replicas
from tasks.costs.assumptions import Assumptions
from tasks.costs.bill import By, make_bill
from tasks.planning.history import page_times
from tasks.results.page import PageEntry, PageResult
from tasks.results.store import ResultStore
from tasks.runs.usage_log import note_held, read_usage
from tasks.storage import s3_client as objects
from tasks.storage.files import S3Path, files_at
from tasks.storage.s3_lock import S3Lock
from tests.integration.s3.result_places import PLACE, new_store
from tests.support.aws.buckets import BUCKET, keys
from tests.support.aws.faults import lost_answer
from tests.support.aws.front import AwsFront
from tests.support.aws.wire import Call
from tests.support.waiting import PATIENCE, until_async
from tests.unit.tasks.results.stored import failed, manifest, page
from tests.unit.tasks.runs.test_usage_log import NOON, SINCE, allocation

pytestmark = pytest.mark.long("locks held in S3 are waited for: 20 s in all")


def to(ending: str) -> Callable[[Call], bool]:
    """Return a filter for calls about one object."""
    return lambda call: call.path.endswith(ending)


# Locks


WAITING = Progress("waiting for another run that reads this document")


Expiry = Callable[..., None]


@pytest.fixture
def expiry(monkeypatch: pytest.MonkeyPatch) -> Expiry:
    """Set after how many seconds locks expire, and whether holders renew them, ten times a second; hours at first."""

    def set_expiry(seconds: float, *, renewed: bool = True) -> None:
        monkeypatch.setattr("tasks.storage.s3_lock.EXPIRY_SECONDS", seconds)
        monkeypatch.setattr("tasks.storage.s3_lock.RENEWALS", seconds / (0.1 if renewed else 36_000))

    monkeypatch.setattr("tasks.storage.s3.LOCK_POLL_SECONDS", 0.05)
    set_expiry(36_000)
    return set_expiry


async def take_lock(store: ResultStore, events: list[Any]) -> None:
    """Wait for the lock, and release it."""
    with subscribe(events.append):
        async with store.lock():
            events.append("locked")


async def test_a_second_run_of_a_document_waits_for_the_first(store: ResultStore, aws: AwsFront, expiry: Expiry):
    events: list[Any] = []
    async with store.lock():
        other = asyncio.create_task(take_lock(new_store(), events))
        await until_async(lambda: events)
        before = len(aws.calls)
        await until_async(lambda: len([call for call in aws.calls[before:] if to(".lock")(call)]) > 10)
        assert set(events) == {WAITING}
    await other
    assert events[-1] == "locked"


async def test_the_same_bytes_under_another_name_are_copied_and_not_read(s3: Any):
    one, other = (ResultStore(PLACE / f"{name}-aaaaaaaaaaaa", shared=True) for name in ("one", "other"))
    for store in (one, other):
        store.prepare()
    async with one.lock():
        one.write_page(page(1))
        one.write_page(failed(2))
    async with other.lock():
        other.take_over([1, 2, 3], lambda _: True)
    assert (other.page(1), other.page(2)) == (page(1), None)


async def test_the_same_bytes_under_two_names_share_one_lock(s3: Any, expiry: Expiry):
    one, other = (ResultStore(PLACE / f"{name}-aaaaaaaaaaaa", shared=True) for name in ("one", "other"))
    for store in (one, other):
        store.prepare()
    events: list[Any] = []
    async with one.lock():
        waiting = asyncio.create_task(take_lock(other, events))
        await until_async(lambda: events)
    await waiting
    assert (events[0], events[-1]) == (WAITING, "locked")


async def test_a_lock_is_renewed_while_its_holder_lives(store: ResultStore, expiry: Expiry):
    async with store.lock():
        first = objects.get(store.directory / ".lock").etag
        await until_async(lambda: objects.get(store.directory / ".lock").etag != first)


async def test_the_lock_of_a_dead_run_expires(store: ResultStore, expiry: Expiry):
    expiry(36_000, renewed=False)
    died = S3Lock(store.directory / ".lock")
    assert died.take()
    expiry(36_000)
    events: list[Any] = []
    other = asyncio.create_task(take_lock(new_store(), events))
    await until_async(lambda: events)
    expiry(1.0)
    async with asyncio.timeout(PATIENCE):
        await other
    assert events[0] == WAITING


async def test_a_lock_whose_response_is_lost_is_held(store: ResultStore, aws: AwsFront, expiry: Expiry):
    aws.inject(lost_answer(), "PUT", where=to(".lock"))
    events: list[Any] = []
    async with asyncio.timeout(PATIENCE):  # far less than a lock lasts
        await take_lock(store, events)
    assert events == ["locked"]


def test_an_older_version_of_the_lock_cannot_be_replaced(store: ResultStore):
    lock = store.directory / ".lock"
    holder = S3Lock(lock)
    assert holder.take()
    seen = objects.get(lock)
    assert holder.write(seen.etag)
    assert not S3Lock(lock).write(seen.etag)
    holder.release()


# Pages that another run stored meanwhile


@pytest.fixture
async def usurped(store: ResultStore, expiry: Expiry) -> AsyncIterator[tuple[ResultStore, ResultStore]]:
    """A run that lost its lock without knowing it, and the one that holds it now."""
    expiry(36_000, renewed=False)
    async with store.lock():
        other = new_store()
        expiry(1.0)
        async with AsyncExitStack() as block:
            async with asyncio.timeout(PATIENCE):
                await block.enter_async_context(other.lock())
            expiry(36_000)
            yield store, other


async def test_a_page_that_another_run_has_stored_is_kept(usurped: tuple[ResultStore, ResultStore]):
    late, other = usurped
    other.write_page(page(1, "the other's"))
    late.write_page(page(1, "the late one's"))
    assert late.page(1).text == "the other's"


@pytest.mark.parametrize("theirs", [failed(1), page(1, "theirs", digest="e" * 64)], ids=["failed", "another model"])
async def test_a_page_of_another_run_with_other_options_is_replaced(
    usurped: tuple[ResultStore, ResultStore], theirs: PageResult
):
    late, other = usurped
    other.write_page(theirs)
    late.write_page(page(1, "ours"))
    assert late.page(1).text == "ours"


async def test_a_forced_page_replaces_that_of_an_earlier_run(store: ResultStore):
    async with new_store().lock():
        store.write_page(page(1, "earlier"))
    later = new_store()
    async with later.lock():
        later.write_page(page(1, "by force"))
    assert later.page(1).text == "by force"


def test_the_use_of_machines_is_recorded_in_s3_and_summed_up(s3: Any):
    facts = MachineFacts("hearth-ecs", "ECS tasks on g4dn.xlarge", 36.0, NOON, Replicas(0))
    for ended in (NOON + 100, NOON + 200):  # two runs at once: the service is counted once
        note_held(PLACE, allocation(BackendName.ECS, facts), "paper", ended)
    assert keys(s3) == {"results/machines.jsonl"}
    assert make_bill(read_usage(PLACE, SINCE).pieces, By.DOCUMENT, SINCE, SINCE).total.leased == 200


def test_page_times_are_also_read_from_s3(store: ResultStore):
    results = [page(number, seconds=3.0) for number in range(1, 31)]
    store.write_manifest(manifest(store), map(PageEntry.of, results))
    times = page_times(PLACE, "qwen2.5vl:7b", Assumptions())
    assert (times.measured, times.source) == ((3.0,) * 30, "measured, from 30 pages that qwen2.5vl:7b has read")


def test_unreadable_page_times_are_assumed_with_a_note(aws: AwsFront, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(objects, "default_aws", Aws())
    times = page_times(S3Path("nobody-s-bucket", "results"), "qwen2.5vl:7b", Assumptions())
    assert times.measured == ()
    assert times.source.startswith("assumed, because the results below s3://nobody-s-bucket/results cannot be read")


@pytest.mark.long("many writers at once: 8 s")
def test_lines_that_many_runs_append_simultaneously_are_all_kept(s3: Any):
    place = S3Path(BUCKET, "many")
    lines = [f"{number:02}\n" for number in range(24)]
    with ThreadPoolExecutor(24) as runs:
        list(runs.map(lambda line: files_at(place).append("lines", line), lines))
    assert sorted(files_at(place).read("lines").decode().splitlines(keepends=True)) == sorted(lines)
