"""Webhooks: the wait for a receiver is limited, and none delays the others."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from uuid import UUID, uuid4

import pytest
from prefect.states import Completed

from flows.api import webhooks as module
from flows.api.prefect_state import PrefectCalls
from flows.api.records import Record
from flows.api.runs import Runs
from flows.api.settings import ApiSettings
from flows.api.webhooks import Webhooks
from tests.support.waiting import PATIENCE, until_async

TAKEN = b"HTTP/1.1 204 No Content\r\n\r\n"


class Receiver:
    """A server that takes what is sent to it, or drips a response that has no end."""

    def __init__(self, *, drips: bool) -> None:
        self.drips = drips
        self.connected = 0
        self.open = 0
        self.most = 0
        self.received: list[bytes] = []
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Receiver:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/hook"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        self.connected += 1
        self.open += 1
        self.most = max(self.most, self.open)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            self.received.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(b"HTTP/1.1 200 OK\r\n" if self.drips else TAKEN)
            while self.drips and not reader.at_eof():
                writer.write(b"X-Slow: 1\r\n")
                await writer.drain()
                await asyncio.sleep(0.02)
        self.open -= 1
        writer.close()


class Sending:
    """Webhooks over runs that have ended."""

    def __init__(self, directory: Path) -> None:
        for name in ("runs", "webhooks"):
            (directory / name).mkdir()
        self._directory = directory
        self.settings = ApiSettings(
            directory=directory,
            webhook_secret="a secret of these tests",
            webhook_private=True,
            prefect_seconds=PATIENCE,
        )
        self.runs = Runs(directory / "runs", PrefectCalls(self, PATIENCE))
        self.webhooks = Webhooks(directory / "webhooks", self.runs, self.settings)

    async def read_flow_runs(self, *, flow_run_filter, **_: object) -> list[SimpleNamespace]:
        return [SimpleNamespace(id=run, state=Completed()) for run in flow_run_filter.id.any_]

    def ended(self, *urls: str, run: UUID | None = None) -> None:
        for url in urls:
            facts = {"sha256": "", "pages": "1", "output": self._directory, "created": datetime.now(UTC)}
            record = Record(id=uuid4(), run=run or uuid4(), **facts)
            self.runs.store(record)
            self.webhooks.add(record.id, url)

    @property
    def pending(self) -> int:
        return len(list((self._directory / "webhooks").glob("*.json")))


@pytest.fixture
def sending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sending:
    monkeypatch.setattr(module, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(module, "RESPONSE_SECONDS", PATIENCE)  # a slow receiver is slow for the whole test
    return Sending(tmp_path)


@pytest.fixture
async def slow() -> AsyncIterator[Receiver]:
    async with Receiver(drips=True) as receiver:
        yield receiver


@pytest.fixture
async def quick() -> AsyncIterator[Receiver]:
    async with Receiver(drips=False) as receiver:
        yield receiver


async def test_many_webhooks_to_a_slow_receiver_do_not_delay_others(sending: Sending, slow: Receiver, quick: Receiver):
    sending.ended(*[slow.url] * 100)
    async with sending.webhooks:
        await until_async(lambda: slow.open == module.PARALLEL_PER_RECEIVER)
        sending.ended(*[quick.url] * 20)
        await until_async(lambda: len(quick.received) == 20)
        assert slow.connected == slow.most == module.PARALLEL_PER_RECEIVER  # still the first ones


async def test_many_slow_receivers_do_not_delay_others(sending: Sending, quick: Receiver):
    async with contextlib.AsyncExitStack() as stack:
        slow = [await stack.enter_async_context(Receiver(drips=True)) for _ in range(12)]
        sending.ended(*(each.url for each in slow for _ in range(2)))
        async with sending.webhooks:
            await until_async(lambda: all(each.open for each in slow))
            sending.ended(quick.url)
            await until_async(lambda: quick.received)
            assert all(each.open for each in slow)


async def test_a_receiver_that_responds_too_slowly_is_retried_later(
    sending: Sending, slow: Receiver, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "RESPONSE_SECONDS", 1.0)
    sending.ended(slow.url)
    async with sending.webhooks:
        await until_async(lambda: slow.connected >= 2)
        slow.drips = False
        await until_async(lambda: not sending.pending)


async def test_pauses_between_attempts_do_not_delay_others(sending: Sending, quick: Receiver):
    """Each attempt fails at once, because nothing listens there; the pauses do not take up slots."""
    async with Receiver(drips=False) as gone:
        pass
    sending.ended(*[gone.url] * 200)
    async with sending.webhooks:
        await until_async(lambda: len(sending.webhooks.sending) == 200)
        sending.ended(quick.url)
        await until_async(lambda: quick.received)


async def test_no_webhook_is_sent_for_a_queued_request(sending: Sending, quick: Receiver):
    facts = {"sha256": "", "pages": "1", "output": Path(), "created": datetime.now(UTC)}
    queued = Record(id=uuid4(), run=None, **facts)
    sending.runs.store(queued)
    sending.webhooks.add(queued.id, quick.url)
    async with sending.webhooks:
        sending.ended(quick.url)
        await until_async(lambda: sending.pending == 1)
        assert len(quick.received) == 1
        sending.runs.store(queued.model_copy(update={"run": uuid4()}))
        await until_async(lambda: not sending.pending)
    assert len(quick.received) == 2
