"""A run's progress, and the events that are streamed to a client."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prefect.states import Completed, Running, State

from flows.api.followed import Followed, Seen
from flows.api.prefect_state import PrefectCalls
from flows.api.records import Record
from flows.api.runs import Runs
from flows.api.sse import events
from tasks.core.errors import FailureReason, InputError
from tasks.core.page_ranges import format_ranges, parse_ranges
from tasks.results.page import PageResult, PageStatus
from tasks.results.store import ResultStore
from tests.support.waiting import PATIENCE


@given(st.sets(st.integers(1, 30)))
def test_page_numbers_are_written_and_read_again(numbers: set[int]):
    assert set(parse_ranges(format_ranges(numbers))) == numbers


@pytest.mark.parametrize("told", ["11", "1-999999", ",".join(["1-999999"] * 4000), "0", "x", f"1-{' ' * 50_000}x"])
def test_page_numbers_out_of_range_are_refused(told: str):
    with pytest.raises(InputError):
        parse_ranges(told, 10)


def test_an_open_range_ends_at_the_last_page():
    assert parse_ranges("8-", 10) == (8, 9, 10)


def test_page_numbers_are_written_short():
    assert format_ranges([1, 2, 3, 7]) == "1-3,7"


class Worker:
    """Stores pages as a run does, and stands for Prefect."""

    def __init__(self, directory: Path) -> None:
        self.began = datetime.now(UTC)
        self.state: State = Running()
        self.store = ResultStore(directory)
        self.store.prepare()
        record = Record(id=uuid4(), run=uuid4(), sha256="", pages="1-3", output=directory, created=self.began)
        self.run = Followed(record, PrefectCalls(self, PATIENCE))

    def page(self, number: int, status: PageStatus = PageStatus.READ, seconds: float = 1.0) -> None:
        self.store.write_page(
            PageResult(
                page=number,
                identity=f"{number} {status}",
                status=status,
                text="text",
                reason=FailureReason.EMPTY if status is PageStatus.FAILED else None,
                model="m",
                digest="d",
                finished_at=self.began + timedelta(seconds=seconds),
            )
        )

    async def read_flow_run(self, _):
        return SimpleNamespace(state=self.state)

    async def told(self, *sent: int) -> list[str]:
        """End the run, and return the events of its stream."""
        self.state = Completed()
        return [event.decode() async for event in events(self.run, sent, text=False)]


async def test_a_page_that_failed_in_an_earlier_run_is_not_sent_while_it_is_read_again(tmp_path: Path):
    worker = Worker(tmp_path)
    worker.page(1, PageStatus.FAILED, seconds=-60)
    worker.page(2, PageStatus.FAILED)
    early = (await worker.run.view(Running()))["pages"]
    assert (early["done"], early["failed"]) == (1, [2])
    worker.page(1)
    assert (await worker.run.view(Completed()))["pages"]["failed"] == [2]


async def test_the_id_of_the_last_event_lists_all_pages_that_were_sent(tmp_path: Path):
    worker = Worker(tmp_path)
    for number in (1, 3):
        worker.page(number)
    retry, first, second, end = await worker.told()
    assert (retry, first.splitlines()[0]) == ("retry: 1000\n\n", "event: page")
    assert second.startswith('event: page\ndata: {"page": 3, "status": "read"')
    assert second.endswith("\nid: 1,3\n\n")
    assert end.startswith("event: end\n")
    assert end.endswith("\nid: end\n\n")


async def test_the_list_of_sent_pages_fits_into_a_header(tmp_path: Path):
    worker = Worker(tmp_path)
    numbers = range(1, 4000, 2)
    worker.run.numbers = frozenset(numbers)
    worker.run.pages = {n: Seen(n, PageStatus.READ, {"page": n}, worker.began) for n in numbers}
    worker.run.changes += 1
    *_, last, _ = await worker.told()
    listed = last.partition("id: ")[2].partition("\n")[0]
    assert len(listed) <= 4096
    assert set(parse_ranges(listed)) < set(numbers)


async def test_pages_that_the_client_has_are_not_sent_again(tmp_path: Path):
    worker = Worker(tmp_path)
    for number in (1, 2, 3):
        worker.page(number)
    (page, _) = (await worker.told(1, 3))[1:]
    assert page.startswith('event: page\ndata: {"page": 2')
    assert page.endswith("\nid: 1-3\n\n")


def test_a_run_of_an_earlier_version_is_found_by_prefects_id(tmp_path: Path):
    run = uuid4()
    facts = {"id": str(run), "sha256": "", "pages": "1", "output": str(tmp_path), "created": "2026-01-01T00:00:00Z"}
    (tmp_path / f"{run}.json").write_text(json.dumps(facts))
    record = Runs(tmp_path, PrefectCalls(SimpleNamespace(), PATIENCE)).follow(run).record
    assert (record.id, record.run) == (run, run)


def test_a_run_is_found_after_a_restart(tmp_path: Path):
    record = Record(id=uuid4(), run=uuid4(), sha256="", pages="1", output=tmp_path, created=datetime.now(UTC))
    Runs(tmp_path, PrefectCalls(SimpleNamespace(), PATIENCE)).store(record)
    assert Runs(tmp_path, PrefectCalls(SimpleNamespace(), PATIENCE)).follow(record.id).record == record
    assert Runs(tmp_path, PrefectCalls(SimpleNamespace(), PATIENCE)).follow(uuid4()) is None


async def test_pages_are_streamed_while_prefect_does_not_respond(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("flows.api.sse.PREFECT_SECONDS", 0.01)
    worker = Worker(tmp_path)
    silent = asyncio.Event()

    async def no_answer(_: object) -> None:
        await silent.wait()

    monkeypatch.setattr(worker, "read_flow_run", no_answer)
    stream = events(worker.run, (), text=False)
    assert await anext(stream) == b"retry: 1000\n\n"
    for number in (1, 2):
        worker.page(number)
        assert f'"page": {number}' in (await anext(stream)).decode()
    await stream.aclose()
