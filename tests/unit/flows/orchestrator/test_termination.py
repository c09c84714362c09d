"""SIGTERM of a worker's run, wherever Prefect's exception is raised."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest
from prefect.exceptions import TerminationSignal

from flows.orchestrator.termination import cancel_on_sigterm


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
            await asyncio.sleep(30)
        finally:
            await asyncio.sleep(0.05)
            given_back.append("the lease")


async def test_an_exception_that_nobody_looks_at_ends_the_run_all_the_same(worker: None):
    given_back: list[str] = []
    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(run(given_back))
    assert given_back == ["the lease"]


async def test_a_run_that_is_being_cancelled_is_not_cancelled_again(worker: None):
    given_back: list[str] = []

    async def giving_back() -> None:
        with cancel_on_sigterm():
            try:
                await asyncio.sleep(30)
            finally:
                await sent_in_another_task()
                await asyncio.sleep(0.2)
                given_back.append("the lease")

    task = asyncio.create_task(giving_back())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    assert given_back == ["the lease"]


async def test_afterwards_nothing_is_heard_any_more(worker: None):
    with cancel_on_sigterm():
        pass
    assert signal.set_wakeup_fd(-1) == -1
    assert isinstance(await sent_in_another_task(), TerminationSignal)


async def test_a_command_has_its_own_way():
    with cancel_on_sigterm():
        assert isinstance(await sent_in_another_task(), TerminationSignal)
        await asyncio.sleep(0.05)
