"""Artifacts of an active run: updated rarely enough, and never delaying a page; without a server."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from prefect.exceptions import ObjectNotFound

import flows.ui.artifacts
import flows.ui.live_artifacts
from flows.ui.artifacts import MOST_SINGLE
from flows.ui.live_artifacts import Live
from tasks.core.events import PagesStarted, SlotsChanged
from tasks.reading.events import PageDone
from tasks.settings.settings import Settings
from tests.support.waiting import PATIENCE, until
from tests.unit.flows.engine.page_runs import good


class Prefect:
    """Takes artifacts; `trouble` comes first."""

    def __init__(self) -> None:
        self.data: dict[str, Any] = {}
        self.calls: Counter[str] = Counter()
        self.trouble: Callable[[], Awaitable[None]] | None = None
        self._keys: dict[UUID, str] = {}

    async def create(self, data: Any, key: str, description: str) -> UUID:
        assert description
        made = uuid4()
        self._keys[made] = key
        await self._take(key, data)
        return made

    async def create_progress(self, progress: float, key: str, description: str) -> UUID:
        return await self.create(progress, key, description)

    async def update_artifact(self, artifact: UUID, update: Any) -> None:
        await self._take(self._keys[artifact], update.data)

    async def _take(self, key: str, data: Any) -> None:
        what = key.rpartition("-")[2]
        self.calls[what] += 1
        if self.trouble is not None:
            await self.trouble()
        self.data[what] = json.loads(data) if what == "pages" and isinstance(data, str) else data


@pytest.fixture
def prefect(monkeypatch: pytest.MonkeyPatch) -> Prefect:
    taking = Prefect()

    @asynccontextmanager
    async def client():
        yield taking

    monkeypatch.setattr(flows.ui.artifacts, "acreate_progress_artifact", taking.create_progress)
    monkeypatch.setattr(flows.ui.artifacts, "acreate_table_artifact", taking.create)
    monkeypatch.setattr(flows.ui.artifacts, "acreate_markdown_artifact", taking.create)
    monkeypatch.setattr(flows.ui.artifacts, "get_client", client)
    _limited(monkeypatch, PATIENCE)
    monkeypatch.setattr(flows.ui.live_artifacts, "TICK_SECONDS", 0.01)
    return taking


def _limited(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Have showing take no longer than this."""
    monkeypatch.setattr(flows.ui.artifacts, "SHOWN_SECONDS", seconds)
    monkeypatch.setattr(flows.ui.live_artifacts, "LAST_SECONDS", seconds)


async def read(live: Live, pages: int, *, after: Callable[[int], object] = lambda _: None) -> None:
    """Pages are read, on another thread; `after` each something may be waited for."""

    def told() -> None:
        live(SlotsChanged(4))
        for number in range(1, pages + 1):
            live(PageDone(good(number, seconds=0.5)))
            after(number)

    async with live:
        live(PagesStarted(pages, 0, 4))
        await asyncio.to_thread(told)


async def test_the_final_update_shows_progress_pages_and_slots(prefect: Prefect):
    await read(Live("Report 7", Settings()), 30)
    assert prefect.data["progress"] == 100.0
    assert [row["page"] for row in prefect.data["pages"]] == list(range(1, 31))
    assert "30 pages" in prefect.data["slots"]


async def test_ten_thousand_pages_cause_a_handful_of_calls_and_no_table(
    prefect: Prefect, monkeypatch: pytest.MonkeyPatch
):
    live = Live("Report 7", Settings())
    _seldom(monkeypatch, live.progress, live.slots)
    await read(live, 10_000)
    assert prefect.data["progress"] == 100.0
    assert prefect.calls.total() <= 4
    assert "pages" not in prefect.data


def _seldom(monkeypatch: pytest.MonkeyPatch, *artifacts: flows.ui.artifacts.Artifact) -> None:
    """However long the test takes, these are not due again before the end."""
    for artifact in artifacts:
        monkeypatch.setattr(artifact, "seconds", 10 * PATIENCE)


async def test_progress_is_updated_while_pages_are_read(prefect: Prefect, monkeypatch: pytest.MonkeyPatch):
    live = Live("Report 7", Settings())
    monkeypatch.setattr(live.progress, "seconds", 0.0)
    _seldom(monkeypatch, live.pages, live.slots)
    await read(live, 5, after=lambda number: until(lambda: prefect.calls["progress"] >= number))
    assert prefect.calls["progress"] > 3
    assert prefect.calls["pages"] == prefect.calls["slots"] == 1


async def test_an_update_in_progress_at_the_end_creates_no_second_artifact(prefect: Prefect):
    prefect.trouble = lambda: asyncio.sleep(0.05)
    live = Live("Report 7", Settings())
    async with live:
        live(PagesStarted(1, 0, 4))
        live(PageDone(good(1, seconds=0.5)))
        while not prefect.calls["progress"]:
            await asyncio.sleep(0.001)
    assert prefect.data["progress"] == 100.0
    assert prefect.calls == dict.fromkeys(("progress", "pages", "slots"), 1)


@pytest.mark.parametrize("trouble", ["refused", "hangs", "deleted"])
async def test_an_unresponsive_server_delays_no_page(prefect: Prefect, trouble: str, monkeypatch: pytest.MonkeyPatch):
    async def refused() -> None:
        raise httpx.ConnectError("refused")

    async def deleted() -> None:
        raise ObjectNotFound(ValueError("404"))

    async def hangs() -> None:
        await asyncio.Event().wait()

    _limited(monkeypatch, 0.05)
    prefect.trouble = {"refused": refused, "hangs": hangs, "deleted": deleted}[trouble]
    async with asyncio.timeout(PATIENCE):
        await read(Live("Report 7", Settings()), MOST_SINGLE)
    assert prefect.data == {}
    assert prefect.calls.total() > 0


async def test_a_failed_update_is_repeated_when_the_server_is_back(prefect: Prefect):
    async def refused_once() -> None:
        prefect.trouble = None
        raise httpx.ConnectError("refused")

    prefect.trouble = refused_once
    await read(Live("Report 7", Settings()), 5, after=lambda _: until(lambda: prefect.trouble is None))
    assert prefect.data["progress"] == 100.0


async def test_a_deleted_artifact_is_created_again(prefect: Prefect, monkeypatch: pytest.MonkeyPatch):
    live = Live("Report 7", Settings())
    monkeypatch.setattr(live.progress, "seconds", 0.0)
    updated = prefect.update_artifact

    async def deleted_once(artifact: UUID, update: Any) -> None:
        monkeypatch.setattr(prefect, "update_artifact", updated)
        prefect.data.clear()
        raise ObjectNotFound(ValueError("404"))

    monkeypatch.setattr(prefect, "update_artifact", deleted_once)
    await read(
        live,
        2,
        after=lambda number: until(
            lambda: prefect.calls["progress"] if number == 1 else prefect.update_artifact == updated
        ),
    )
    assert prefect.update_artifact == updated
    assert prefect.data["progress"] == 100.0


async def test_only_the_batch_shows_slots_and_not_its_documents(prefect: Prefect):
    await read(Live("Report 7", Settings(), has_servers=False), 5)
    await read(Live("batch", Settings(), has_pages=False), 5)
    assert prefect.calls.keys() == {"progress", "pages", "slots"}
    assert prefect.calls["slots"] == 1
