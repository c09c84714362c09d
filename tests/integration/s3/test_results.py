"""Results under s3://: the layout of a directory, written on condition, in turns that expire."""

from __future__ import annotations

import asyncio
import errno
import tracemalloc
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tasks.aws.client import Aws
from tasks.backends.base import MachineFacts
from tasks.core.errors import InputError, OutputError, StorageError
from tasks.core.events import Progress, subscribe
from tasks.core.jobs import BackendName
from tasks.core.replicas import Replicas
from tasks.costs.assumptions import Assumptions
from tasks.costs.bill import By
from tasks.planning.history import page_times
from tasks.results.page import Attempt, PageEntry, PageResult
from tasks.results.store import ResultStore, results_directory
from tasks.runs.usage_log import held_bill, note_held
from tasks.storage import s3 as s3_module
from tasks.storage import s3_client as objects
from tasks.storage.files import S3Path, files_at, place_of
from tasks.storage.s3_lock import S3Lock
from tests.support.aws.buckets import BUCKET, body, keys, make_bucket
from tests.support.aws.faults import Fault, denied, dropped, lost_answer
from tests.support.aws.front import AwsFront
from tests.support.aws.moto_server import Moto
from tests.support.aws.wire import Call
from tests.support.waiting import PATIENCE, until_async
from tests.unit.tasks.results.stored import DIGEST, DOCUMENT, blank, breaking, failed, manifest, page, planned
from tests.unit.tasks.runs.test_usage_log import NOON, SINCE, allocation

PLACE = S3Path(BUCKET, "results")
FOLDER = "results/paper-aaaaaaaaaaaa"


@pytest.fixture
def s3(aws: AwsFront, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The bucket's owner, who asks moto itself."""
    monkeypatch.setattr(objects, "_aws", Aws())
    return make_bucket(aws)


@pytest.fixture
def store(s3: Any) -> ResultStore:
    """The results of a document."""
    return new_store()


def new_store() -> ResultStore:
    """Another run's view of them."""
    s3_module._known.clear()
    store = ResultStore(results_directory(PLACE, DOCUMENT))
    store.prepare()
    return store


def gets(aws: AwsFront) -> int:
    """How often a page was asked for."""
    return sum(call.path.endswith("json") and "/pages/" in call.path for call in aws.called("GET"))


def to(ending: str) -> Callable[[Call], bool]:
    """Which calls are about an object."""
    return lambda call: call.path.endswith(ending)


# The layout


def test_the_layout_is_that_of_a_directory(store: ResultStore, s3: Any, tmp_path: Path):
    local = ResultStore(results_directory(tmp_path, DOCUMENT))
    local.prepare()
    results = (page(1), failed(2), blank(3))
    for each in (store, local):
        for result in results:
            each.write_page(result)
        each.write_document((1, 2, 3))
        each.write_manifest(manifest(store), map(PageEntry.of, results))
    files = {f"results/{path.relative_to(tmp_path)}": path for path in tmp_path.rglob("*.*") if path.is_file()}
    assert len(files) == 5
    assert keys(s3) == set(files)
    for key, path in files.items():
        assert body(s3, key) == path.read_bytes()


def test_a_page_reads_back_as_it_was_written(store: ResultStore):
    store.write_page(page(2, "Grüße ∑ 漢字"))
    assert store.page(2) == page(2, "Grüße ∑ 漢字")


def test_a_later_result_replaces_an_earlier_one(store: ResultStore):
    store.write_page(page(1, "once"))
    store.write_page(page(1, "twice"))
    assert store.page(1).text == "twice"


def test_a_manifest_reads_back_as_it_was_written_and_lists_its_pages(store: ResultStore):
    results = (page(1), failed(2), blank(4))
    written = manifest(store, *results).model_copy(update={"output": store.directory})
    store.write_manifest(written, map(PageEntry.of, results))
    assert store.manifest() == written
    assert list(store.manifest().pages) == list(map(PageEntry.of, results))


def test_before_the_first_run_there_is_nothing(store: ResultStore):
    assert store.manifest() is None
    assert store.page(1) is None
    assert not store.has_document()


def test_a_large_text_is_sent_in_parts(store: ResultStore, s3: Any):
    for number in range(1, 4):
        store.write_page(page(number, f"{number}" * 3_000_000))
    store.write_document((1, 2, 3))
    assert len(body(s3, f"{FOLDER}/document.md")) > 9_000_000
    assert s3.head_object(Bucket=BUCKET, Key=f"{FOLDER}/document.md")["ETag"].endswith('-2"')


def test_a_text_that_breaks_off_in_the_middle_leaves_the_old_one(store: ResultStore, s3: Any):
    store.write_page(page(1, "whole"))
    store.write_document((1,))
    before = body(s3, f"{FOLDER}/document.md")
    with pytest.raises(StorageError, match=r"document\.md cannot be written"):
        store.write_document(breaking(OSError(errno.ENOSPC, "No space left on device"), 1))
    assert body(s3, f"{FOLDER}/document.md") == before


# What stands


def test_what_stands_is_listed_and_only_that_is_asked_for(store: ResultStore, aws: AwsFront):
    for number in (2, 7):
        store.write_page(page(number))
    plan = planned(numbers=tuple(range(1, 10)))
    assert new_store().missing(plan, DIGEST) == (1, 3, 4, 5, 6, 8, 9)
    assert gets(aws) == 2


def test_what_did_not_change_is_asked_for_once(store: ResultStore, aws: AwsFront):
    for number in (1, 2, 3):
        store.write_page(page(number))
    other = new_store()
    assert other.missing(planned(), DIGEST) == ()
    store.write_page(page(2, "anew"))
    assert [result.text for result in other.results((1, 2, 3))] == ["Hello.", "anew", "Hello."]
    assert gets(aws) == 5  # 3, one to write on condition, and the changed one


def test_many_pages_are_asked_for_at_once_but_never_more_than_16(store: ResultStore, aws: AwsFront):
    numbers = tuple(range(1, 41))
    for number in numbers:
        store.write_page(page(number))
    now = most = 0

    async def counted(call: Call, proceed: Any) -> Any:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.1)  # for those beyond the limit, if there are any
        async with asyncio.timeout(PATIENCE):
            while most <= 4:
                await asyncio.sleep(0.01)
        now -= 1
        return await proceed(call)

    aws.inject(Fault("counted", counted), "GET", times=None, where=lambda call: "/pages/" in call.path)
    assert new_store().missing(planned(numbers=numbers), DIGEST) == ()
    assert 4 < most <= 16


def test_pages_beyond_9999_are_found(store: ResultStore):
    numbers = (1, 1000, 9999, 10_000, 10_001, 19_999)
    for number in numbers[1:]:
        store.write_page(page(number))
    assert store.missing(planned(numbers=numbers), DIGEST) == (1,)


def test_neither_writing_nor_reading_a_manifest_holds_its_pages(moto: Moto, s3: Any, monkeypatch: pytest.MonkeyPatch):
    """3,000 entries of 8 kB, held at once, would be 24 MB; a part that is sent or fetched has 8."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto.url)  # the front holds what passes through it
    store = new_store()
    attempts = tuple(Attempt(temperature=0.0, seconds=1.0, detail=f"{number}" * 100) for number in range(50))
    tracemalloc.start()
    try:
        entries = (PageEntry.of(page(number, attempts=attempts)) for number in range(3000))
        store.write_manifest(manifest(store), entries)
        assert store.manifest().pages.read == 3000
        assert tracemalloc.get_traced_memory()[1] < 18_000_000
    finally:
        tracemalloc.stop()


# Refusals


def test_a_bucket_that_is_not_there_is_named_before_the_start(s3: Any):
    store = ResultStore(S3Path("no-such-bucket", "results"))
    with pytest.raises(OutputError, match=r"written to s3://no-such-bucket/results: there is no such bucket.*--output"):
        store.prepare()


@pytest.mark.parametrize("action", ["PUT", "GET"])
def test_a_bucket_that_may_not_be_used_is_named_before_the_start(store: ResultStore, aws: AwsFront, action: str):
    aws.inject(denied(), action, times=None)
    with pytest.raises(OutputError, match=r"AWS does not permit it\. Allow s3:ListBucket.*--output"):
        store.prepare()


def test_a_page_that_may_not_be_written_ends_the_run(store: ResultStore, aws: AwsFront):
    aws.inject(denied(), "PUT", times=None)
    with pytest.raises(StorageError, match=r"0001\.json cannot be written: AWS does not permit it.*pages .* stand"):
        store.write_page(page(1))


@pytest.mark.parametrize("fault", [dropped(), lost_answer()], ids=lambda fault: fault.name)
def test_a_write_that_was_not_answered_is_made_again(store: ResultStore, aws: AwsFront, fault: Fault):
    aws.inject(fault, "PUT")
    store.write_page(page(1))
    assert store.page(1) == page(1)


@pytest.mark.parametrize("uri", ["s3://", "s3://B/x", "s3:///x", "s3://a_b/x"])
def test_a_place_without_a_bucket_shows_how_to_write_it(uri: str):
    with pytest.raises(InputError, match=r"names no S3 bucket\. Write it like s3://bucket/prefix"):
        place_of(uri)


# Turns


WAITING = Progress("waiting for another run that reads this document")


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let turns last for so many seconds, and be renewed ten times a second; hours at first."""

    def last(seconds: float) -> None:
        monkeypatch.setattr("tasks.storage.s3_lock.SECONDS", seconds)
        monkeypatch.setattr("tasks.storage.s3_lock._RENEWALS", seconds / 0.1)

    monkeypatch.setattr("tasks.storage.s3._TURN_POLL_SECONDS", 0.05)
    last(36_000)
    return last


async def has_it(store: ResultStore, told: list[Any]) -> None:
    """Wait for a turn, and end it."""
    with subscribe(told.append):
        async with store.turn():
            told.append("has it")


async def test_two_runs_of_one_document_take_turns(store: ResultStore, aws: AwsFront, turns: Callable[[float], None]):
    told: list[Any] = []
    async with store.turn():
        other = asyncio.create_task(has_it(new_store(), told))
        await until_async(lambda: told)
        asked = len(aws.calls)
        await until_async(lambda: len([call for call in aws.calls[asked:] if to(".lock")(call)]) > 10)
        assert set(told) == {WAITING}
    await other
    assert told[-1] == "has it"


async def test_the_same_bytes_under_another_name_are_copied_and_not_read(s3: Any):
    one, other = (ResultStore(PLACE / f"{name}-aaaaaaaaaaaa", shared=True) for name in ("one", "other"))
    for store in (one, other):
        store.prepare()
    async with one.turn():
        one.write_page(page(1))
        one.write_page(failed(2))
    async with other.turn():
        other.take_over([1, 2, 3], lambda _: True)
    assert (other.page(1), other.page(2)) == (page(1), None)


async def test_the_same_bytes_under_two_names_take_turns(s3: Any, turns: Callable[[float], None]):
    one, other = (ResultStore(PLACE / f"{name}-aaaaaaaaaaaa", shared=True) for name in ("one", "other"))
    for store in (one, other):
        store.prepare()
    told: list[Any] = []
    async with one.turn():
        waiting = asyncio.create_task(has_it(other, told))
        await until_async(lambda: told)
    await waiting
    assert (told[0], told[-1]) == (WAITING, "has it")


async def test_a_turn_is_renewed_while_its_holder_lives(store: ResultStore, turns: Callable[[float], None]):
    async with store.turn():
        first = objects.get(store.directory / ".lock").etag
        await until_async(lambda: objects.get(store.directory / ".lock").etag != first)


async def test_the_turn_of_a_run_that_died_ends_by_itself(store: ResultStore, turns: Callable[[float], None]):
    died = S3Lock(store.directory / ".lock")
    assert died.take()
    died._over.set()  # nobody renews it any more
    told: list[Any] = []
    other = asyncio.create_task(has_it(new_store(), told))
    await until_async(lambda: told)
    turns(1.0)
    async with asyncio.timeout(PATIENCE):
        await other
    assert told[0] == WAITING


async def test_a_turn_whose_answer_is_lost_is_had(store: ResultStore, aws: AwsFront, turns: Callable[[float], None]):
    aws.inject(lost_answer(), "PUT", where=to(".lock"))
    async with asyncio.timeout(PATIENCE), store.turn():  # far less than a turn lasts
        pass


def test_who_saw_an_older_turn_does_not_get_it(store: ResultStore):
    lock = store.directory / ".lock"
    holder = S3Lock(lock)
    assert holder.take()
    seen = objects.get(lock)
    assert holder._write(seen.etag)
    assert not S3Lock(lock)._write(seen.etag)
    holder.release()


# Pages that another run stored meanwhile


@pytest.fixture
async def usurped(store: ResultStore, turns: Callable[[float], None]) -> AsyncIterator[tuple[ResultStore, ResultStore]]:
    """A run that lost its turn without knowing, and the one that has it now."""
    async with store.turn():
        store._files._turn._over.set()
        other = new_store()
        turns(1.0)
        async with AsyncExitStack() as block:
            async with asyncio.timeout(PATIENCE):
                await block.enter_async_context(other.turn())
            turns(36_000)
            yield store, other


async def test_a_page_that_another_run_read_meanwhile_stays(usurped: tuple[ResultStore, ResultStore]):
    late, other = usurped
    other.write_page(page(1, "the other's"))
    late.write_page(page(1, "the late one's"))
    assert late.page(1).text == "the other's"


@pytest.mark.parametrize("theirs", [failed(1), page(1, "theirs", digest="e" * 64)], ids=["failed", "another model"])
async def test_a_page_that_another_run_read_otherwise_is_replaced(
    usurped: tuple[ResultStore, ResultStore], theirs: PageResult
):
    late, other = usurped
    other.write_page(theirs)
    late.write_page(page(1, "ours"))
    assert late.page(1).text == "ours"


async def test_a_page_that_is_read_by_force_replaces_an_earlier_runs(store: ResultStore):
    async with new_store().turn():
        store.write_page(page(1, "earlier"))
    later = new_store()
    async with later.turn():
        later.write_page(page(1, "by force"))
    assert later.page(1).text == "by force"


def test_what_runs_held_is_noted_there_and_summed_up(s3: Any):
    facts = MachineFacts("hearth-ecs", "ECS tasks on g4dn.xlarge", 36.0, NOON, Replicas(0))
    for ended in (NOON + 100, NOON + 200):  # two runs at once: the service is counted once
        note_held(PLACE, allocation(BackendName.ECS, facts), "paper", ended)
    assert keys(s3) == {"results/machines.jsonl"}
    assert held_bill(PLACE, By.DOCUMENT, SINCE).total.leased == 200


def test_page_times_are_looked_for_there_too(store: ResultStore):
    results = [page(number, seconds=3.0) for number in range(1, 31)]
    store.write_manifest(manifest(store), map(PageEntry.of, results))
    times = page_times(PLACE, "qwen2.5vl:7b", Assumptions())
    assert (times.measured, times.source) == ((3.0,) * 30, "measured, of 30 pages that qwen2.5vl:7b has read")


def test_page_times_that_cannot_be_read_are_assumed_and_it_is_said(aws: AwsFront, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(objects, "_aws", Aws())
    times = page_times(S3Path("nobody-s-bucket", "results"), "qwen2.5vl:7b", Assumptions())
    assert times.measured == ()
    assert times.source.startswith("assumed, as those below s3://nobody-s-bucket/results cannot be read")


def test_lines_that_many_runs_append_at_the_same_time_all_stand(s3: Any):
    place = S3Path(BUCKET, "many")
    lines = [f"{number:02}\n" for number in range(24)]
    with ThreadPoolExecutor(24) as runs:
        list(runs.map(lambda line: files_at(place).append("lines", line), lines))
    assert sorted(files_at(place).read("lines").decode().splitlines(keepends=True)) == sorted(lines)
