"""SIGTERM ends a worker's run, wherever Prefect's exception is raised."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Iterator

import pytest
from prefect.exceptions import TerminationSignal

from flows.orchestrator.termination import cancel_on_sigterm
from tests.support.waiting import PATIENCE


@pytest.fixture(autouse=True)
def prefects_handler() -> Iterator[None]:
    """What Prefect does of the signal."""

    def terminate(number: int, _frame: object) -> None:
        raise TerminationSignal(number)

    before = signal.signal(signal.SIGTERM, terminate)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT__FLOW_RUN_ID", "1")


async def settle() -> None:
    """Let the loop hear of a signal, and every task go as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def sent_in_another_task() -> BaseException | None:
    """The signal comes while a task runs that nobody looks at; what becomes of that."""

    async def unwatched() -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    task = asyncio.create_task(unwatched())
    await asyncio.wait({task})
    return task.exception()


async def run(given_back: list[str]) -> None:
    with cancel_on_sigterm():
        try:
            assert isinstance(await sent_in_another_task(), TerminationSignal)  # and so it is lost
            await asyncio.sleep(PATIENCE)
        finally:
            await settle()
            given_back.append("the lease")


async def test_a_lost_exception_still_ends_the_run(worker: None):
    given_back: list[str] = []
    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(run(given_back))
    assert given_back == ["the lease"]


async def test_a_run_is_not_cancelled_twice(worker: None):
    given_back: list[str] = []

    async def giving_back() -> None:
        with cancel_on_sigterm():
            try:
                await asyncio.sleep(PATIENCE)
            finally:
                await sent_in_another_task()
                await settle()
                given_back.append("the lease")

    task = asyncio.create_task(giving_back())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    assert given_back == ["the lease"]


async def test_a_logger_that_another_thread_creates_at_the_start_does_not_end_the_run(
    worker: None, monkeypatch: pytest.MonkeyPatch
):
    known = logging.getLogger

    def meanwhile(name: str | None = None) -> logging.Logger:
        known(f"tests.created-{len(logging.root.manager.loggerDict)}")
        return known(name)

    monkeypatch.setattr(logging, "getLogger", meanwhile)
    with cancel_on_sigterm() as arrived:
        assert not arrived()


async def test_after_the_run_sigterm_raises_prefects_exception_again(worker: None):
    with cancel_on_sigterm():
        pass
    assert signal.set_wakeup_fd(-1) == -1
    assert isinstance(await sent_in_another_task(), TerminationSignal)


async def test_in_a_command_sigterm_is_not_handled_here():
    with cancel_on_sigterm():
        assert isinstance(await sent_in_another_task(), TerminationSignal)
        await settle()
