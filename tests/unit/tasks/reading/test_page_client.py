"""One page's question to two servers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tasks.core.errors import FailureReason, ServerError
from tasks.documents.page_image import PageImage
from tasks.models.call import ModelCall
from tasks.models.profile import Profile
from tasks.reading.page_client import PageClient
from tasks.results.page import Attempt
from tasks.serving.latency_tracker import Served
from tasks.serving.server_pool import Server
from tasks.settings.reading import ReadSettings
from tests.support.ollama.scripted import Say, ScriptedOllama, fails, piece, reads, scripted_ollama
from tests.support.ollama.wire import MODEL, Body
from tests.support.pooled import pooled
from tests.support.waiting import PATIENCE, until_async

CALL = ModelCall(MODEL, Profile(name="general"), "Read.", 1288, 8192, 4096)
IMAGE = PageImage(b"PNG", 100, 100, 72.0, ink=0.05)
QUICK = ReadSettings(retry_seconds=PATIENCE, timeout_least_seconds=1, timeout_seconds=PATIENCE)
NEVER = 10 * PATIENCE


@pytest.fixture(scope="module")
def second() -> Iterator[ScriptedOllama]:
    with scripted_ollama() as server:
        yield server


@pytest.fixture
def other(second: ScriptedOllama) -> ScriptedOllama:
    second.reset()
    return second


@dataclass
class Asking:
    """An asker, and what it noted."""

    asker: PageClient
    servers: list[Server]
    noted: list[Attempt]

    async def ask(self) -> str:
        async with asyncio.timeout(PATIENCE):
            return (await self.asker.ask(1, IMAGE, 0.0)).answer.response

    @property
    def reasons(self) -> list[FailureReason | None]:
        return [attempt.reason for attempt in self.noted]


@asynccontextmanager
async def asking(
    home: Path, *servers: ScriptedOllama, slots: int = 2, settings: ReadSettings = QUICK
) -> AsyncIterator[Asking]:
    noted: list[Attempt] = []
    async with pooled(*(server.url for server in servers), home=home, slots=slots, settings=settings) as (pool, joined):
        note = lambda _, attempt, _bad: noted.append(attempt)  # noqa: E731
        yield Asking(PageClient(pool, CALL, 600, settings, note), joined, noted)


def knows_its_pages(server: Server, seconds: float = 0.1) -> None:
    for _ in range(8):
        server.pace.note(Served(seconds, 0, seconds, seconds, 20), 8)


def dripping(after: float) -> Say:
    """An answer that takes its time."""
    return Say(reads("slow").content, after=after)


async def test_a_page_is_asked_for_elsewhere_when_a_server_fails(server, other, tmp_path):
    server.answers("/api/generate", fails(503, "busy"))
    other.answers("/api/generate", reads("read"))
    async with asking(tmp_path, server, other) as one:
        for _ in range(4):
            assert await one.ask() == "read"
    assert set(one.reasons) <= {None, FailureReason.UNAVAILABLE}


async def test_a_server_is_left_alone_for_as_long_as_it_asks(server, tmp_path):
    busy = replace(fails(429, "too many requests"), headers={"Retry-After": "1"})
    server.answers("/api/generate", busy, reads("read"))
    async with asking(tmp_path, server) as one:
        started = time.monotonic()
        assert await one.ask() == "read"
        assert time.monotonic() - started >= 1


async def test_a_page_whose_answer_stalls_is_asked_for_again(server, tmp_path):
    async def stalls() -> AsyncIterator[bytes]:
        yield piece("half a")
        await asyncio.sleep(NEVER)

    server.answers("/api/generate", Say(b"", chunks=stalls), reads("read"))
    async with asking(tmp_path, server, settings=QUICK.model_copy(update={"silence_seconds": 0.2})) as one:
        assert await one.ask() == "read"
    assert one.reasons == [FailureReason.UNAVAILABLE, None]
    assert "sent nothing more of an answer for 0.2 s" in (one.noted[0].detail or "")


async def test_a_page_that_lags_is_asked_for_elsewhere_and_the_first_answer_is_taken(server, other, tmp_path):
    server.answers("/api/generate", dripping(NEVER))
    other.answers("/api/generate", reads("quick"))
    async with asking(tmp_path, server, other) as one:
        knows_its_pages(one.servers[0])
        assert await one.ask() == "quick"
        assert [each.share.in_flight for each in one.servers] == [0, 0]
    assert sorted(map(str, one.reasons)) == ["None", "slow"]


async def test_a_page_that_lags_where_there_is_no_elsewhere_is_waited_for(server, tmp_path):
    server.answers("/api/generate", dripping(2))
    async with asking(tmp_path, server, settings=ReadSettings(retry_seconds=PATIENCE)) as one:
        knows_its_pages(one.servers[0])
        assert await one.ask() == "slow"
    assert len(server.asked("/api/generate")) == 1


async def test_when_the_elsewhere_fails_the_first_is_still_waited_for(server, other, tmp_path):
    async def when_the_other_has_failed(_: Body) -> Say:
        await until_async(lambda: one.reasons)
        return reads("slow")

    server.answers("/api/generate", when_the_other_has_failed)
    other.answers("/api/generate", fails(503, "busy"))
    async with asking(tmp_path, server, other) as one:
        knows_its_pages(one.servers[0], seconds=0.6)
        assert await one.ask() == "slow"
    assert one.reasons == [FailureReason.UNAVAILABLE, None]


async def test_what_hangs_is_given_up_after_the_measured_time_and_tried_again(server, tmp_path):
    server.answers("/api/generate", dripping(NEVER), reads("at last"))
    async with asking(tmp_path, server) as one:
        knows_its_pages(one.servers[0], seconds=0.001)
        assert await one.ask() == "at last"
    assert one.reasons == [FailureReason.UNAVAILABLE, None]
    assert one.noted[0].seconds < PATIENCE


async def test_each_further_try_may_take_twice_as_long(server, tmp_path):
    server.answers("/api/generate", dripping(NEVER), dripping(2.2), reads("too late"))
    async with asking(tmp_path, server, settings=QUICK.model_copy(update={"timeout_least_seconds": 2})) as one:
        knows_its_pages(one.servers[0], seconds=0.001)
        assert await one.ask() == "slow"


async def test_a_page_on_a_machine_that_goes_is_asked_for_elsewhere(server, other, tmp_path):
    async def goes(body: Body) -> Say:
        one.servers[0].interruption.mark_gone("gone")
        return dripping(NEVER)

    server.answers("/api/generate", goes)
    other.answers("/api/generate", reads("elsewhere"))
    async with asking(tmp_path, server, other) as one:
        assert await one.ask() == "elsewhere"
    assert one.reasons == [FailureReason.INTERRUPTED, None]


async def test_a_server_that_has_lost_its_model_is_left_for_another(server, other, tmp_path):
    server.answers("/api/generate", fails(404, f"model '{MODEL}' not found"))
    other.answers("/api/generate", reads("elsewhere"))
    async with asking(tmp_path, server, other) as one:
        assert await one.ask() == "elsewhere"
        assert one.servers[0].failure.done()


async def test_trouble_at_a_server_has_fewer_sent_at_once(server, tmp_path):
    server.answers("/api/generate", fails(503, "busy"), reads("read"))
    async with asking(tmp_path, server, slots=4) as one:
        share = one.servers[0].share
        assert await one.ask() == "read"
        assert share.limit == 2
        while share.limit < 4:
            await one.ask()
            await asyncio.sleep(0.05)


async def test_when_all_servers_have_failed_the_page_ends_with_the_reason(server, other, tmp_path):
    for each in (server, other):
        each.answers("/api/generate", fails(503, "busy"))
        each.answers("/api/version", fails(503, "busy"))
    async with asking(tmp_path, server, other, settings=ReadSettings(retry_seconds=1)) as one:
        with pytest.raises(ServerError, match="busy"):
            await one.ask()
