"""The recorder beside a run: it holds nothing up, fails nothing, and tells once what it cannot send."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tasks.backends.base import Allocation, MachineFacts
from tasks.core.errors import CloudError, InputError
from tasks.core.events import Event, PagesStarted, RunWarning, subscribe
from tasks.core.jobs import BackendName
from tasks.metrics import recorder as recording
from tasks.metrics.aggregate import Snapshot
from tasks.metrics.live import live_runs
from tasks.metrics.recorder import Recorder
from tasks.metrics.sinks import Identity, Sink, sinks_for
from tasks.reading.events import PageDone
from tasks.runs.cost_tracker import CostTracker
from tasks.serving.server_pool import Servers
from tasks.settings.metrics import MetricsSettings
from tasks.settings.settings import Settings
from tasks.slots.ledger import Ledger, SlotClaim
from tasks.slots.store import FileStore
from tests.support.metrics.results import result
from tests.support.ollama.scripted import ScriptedOllama
from tests.support.pooled import pooled
from tests.support.waiting import PATIENCE, until_async

WHO = Identity("paper on here", "url", "url", "m")


class Kept:
    """A sink that keeps what it is told, or raises."""

    name = "the sink"

    def __init__(self, error: Exception | None = None) -> None:
        self.told: list[Snapshot] = []
        self.error = error

    def publish(self, snapshot: Snapshot) -> None:
        self.told.append(snapshot)
        if self.error is not None:
            raise self.error


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "SAMPLE_SECONDS", 0.02)


@asynccontextmanager
async def recorded(
    home: Path,
    sinks: Callable[[], Sequence[Sink]],
    servers: Servers | None = None,
    flush_seconds: float = 0.05,
    books: CostTracker | None = None,
) -> AsyncIterator[Recorder]:
    often = MetricsSettings().model_copy(update={"flush_seconds": flush_seconds})  # oftener than people may
    settings = Settings(home=home, metrics=often)
    recorder = Recorder(WHO, servers or Servers(), books or CostTracker(), settings, sinks)
    recorder.open()
    yield recorder
    await recorder.close()


async def test_what_is_left_at_the_end_is_sent(tmp_path: Path):
    sink = Kept()
    async with recorded(tmp_path, lambda: [sink], flush_seconds=3600) as recorder:
        recorder.hear(PageDone(result()))
    assert sink.told[-1].counts["Pages", "read"] == 1


async def test_pages_in_flight_are_looked_at_and_shown_while_the_run_goes_on(server: ScriptedOllama, tmp_path: Path):
    sink = Kept()
    async with (
        pooled(server.url, home=tmp_path, slots=2) as (servers, _),
        recorded(tmp_path, lambda: [sink], servers) as recorder,
    ):
        recorder.hear(PagesStarted(9, 0, 2))
        async with servers.slot():
            await until_async(lambda: [run.in_flight for run in live_runs(tmp_path)] == [1])
            (run,) = live_runs(tmp_path)
            assert (run.slots, run.asked, run.stage, run.name) == (2, 9, "reading", WHO.name)
            assert run.servers[0].url == server.url
    assert not list(live_runs(tmp_path))
    assert sink.told[-1].values["PagesInFlight", ""][1.0] >= 1
    assert sink.told[-1].values["SlotUsePercent", ""][50.0] >= 1


def held_by_another(ledger: Ledger) -> Ledger:
    claim = SlotClaim(wants=1, holds=1, ends_at=time.time() + 36_000, came_at=time.time(), fed=True)
    return ledger.model_copy(update={"claims": {**ledger.claims, "another": claim}})


async def test_slots_that_others_hold_are_not_the_runs(server: ScriptedOllama, tmp_path: Path):
    await FileStore.of(tmp_path, server.url).change(held_by_another)
    async with (
        pooled(server.url, home=tmp_path, slots=2) as (servers, _),
        recorded(tmp_path, lambda: [Kept()], servers),
    ):
        await until_async(lambda: [run.slots for run in live_runs(tmp_path)] == [1])


@pytest.mark.parametrize("shared", [False, True])
async def test_dollars_of_a_machine_that_runs_share_are_counted_once(
    server: ScriptedOllama, tmp_path: Path, shared: bool
):
    if shared:
        await FileStore.of(tmp_path, server.url).change(held_by_another)
    sink, books = Kept(), CostTracker()
    async with (
        pooled(server.url, home=tmp_path, slots=2) as (servers, _),
        recorded(tmp_path, lambda: [sink], servers, books=books),
    ):
        await until_async(lambda: bool(list(live_runs(tmp_path))))
        machine = MachineFacts("i-1", "g4dn.xlarge", 3600.0, time.time() - 36_000)
        books.taken(Allocation(BackendName.EC2, server.url, 2, FileStore.of(tmp_path, server.url), machine=machine))
        await until_async(lambda: any(snapshot.counts.get(("Dollars", "")) for snapshot in sink.told))
        shown = next(live_runs(tmp_path)).usd
    counted = sink.told[-1].counts["Dollars", ""]
    assert shown == pytest.approx(counted, rel=0.1)  # `hearth top` adds up what runs show
    assert counted == pytest.approx(books.usd / (2 if shared else 1), rel=0.1)  # USD 1 a second, for ten hours and some


async def test_idle_slots_are_no_waste_when_no_page_is_left_to_begin(server: ScriptedOllama, tmp_path: Path):
    sink = Kept()
    async with (
        pooled(server.url, home=tmp_path, slots=2) as (servers, _),
        recorded(tmp_path, lambda: [sink], servers) as recorder,
    ):
        recorder.hear(PagesStarted(1, 0, 2))
        async with servers.slot():
            await until_async(lambda: [run.in_flight for run in live_runs(tmp_path)] == [1])
    assert ("SlotUsePercent", "") not in sink.told[-1].values


async def test_a_sink_that_is_out_of_reach_is_told_of_once_and_tried_again(tmp_path: Path):
    heard: list[Event] = []
    sink = Kept(CloudError("AWS could not be asked."))
    with subscribe(heard.append):
        async with recorded(tmp_path, lambda: [sink]):
            await until_async(lambda: len(sink.told) > 1)
    assert [type(event) for event in heard] == [RunWarning]
    assert "AWS could not be asked" in heard[0].message


async def test_a_sink_with_a_bug_is_left_and_the_others_go_on(tmp_path: Path):
    heard: list[Event] = []
    broken, sound = Kept(RuntimeError("a bug")), Kept()
    with subscribe(heard.append):
        async with recorded(tmp_path, lambda: [broken, sound]):
            await until_async(lambda: len(sound.told) > 1)
    assert len(broken.told) == 1
    assert len(heard) == 1


async def test_a_sink_that_cannot_be_made_ends_nothing(tmp_path: Path):
    def sinks() -> Sequence[Sink]:
        raise InputError("the exporter is not installed.")

    heard: list[Event] = []
    with subscribe(heard.append):
        async with recorded(tmp_path, sinks):
            pass
    assert "not installed" in heard[0].message


async def test_a_sink_that_hangs_holds_the_end_of_a_run_up_no_longer_than_is_promised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(recording, "FINAL_SECONDS", 0.2)
    ending = threading.Event()

    class Hangs(Kept):
        def publish(self, snapshot: Snapshot) -> None:
            super().publish(snapshot)
            ending.wait(PATIENCE)

    sink = Hangs()
    async with recorded(tmp_path, lambda: [sink]):
        await until_async(lambda: bool(sink.told))
    assert "hearth-metrics" in {thread.name for thread in threading.enumerate()}  # the sink still hangs
    assert not list((tmp_path / "runs").iterdir())
    ending.set()


async def test_a_home_without_room_ends_nothing(tmp_path: Path):
    home = tmp_path / "home"
    home.write_text("a file where a directory should be")
    sink = Kept()
    async with recorded(home, lambda: [sink]) as recorder:
        recorder.hear(PageDone(result()))
        await until_async(lambda: bool(sink.told))
    assert sink.told[-1].counts["Pages", "read"] == 1


def test_nothing_that_costs_money_is_on_by_default(tmp_path: Path):
    (sink,) = sinks_for(Settings(home=tmp_path), WHO)
    sink.publish(Snapshot({("Pages", "read"): 1.0}))
    assert json.loads((tmp_path / "metrics.json").read_text())["totals"][0]["pool"] == "url"
