"""A command waits until Prefect has recorded its run's end, while Prefect's server is available."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import time
from typing import Any, cast

import httpx
import pytest

import flows.local.run_flow
from flows.local.own_server import OwnServer
from flows.local.prefect_server import PrefectApi
from flows.local.run_flow import RunMarks, light_copy, wait_for_outcome
from flows.process_batch import process_batch
from flows.process_document import process_document
from tasks.batches.batch import Batch
from tasks.core.errors import ServerError
from tasks.core.events import Event, RunWarning, subscribe
from tasks.core.jobs import Job

ELSEWHERE = PrefectApi("http://prefect.lan:4200/api", None)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Event]]:
    monkeypatch.setattr(flows.local.run_flow, "POLL_SECONDS", 0.01)
    events: list[Event] = []
    with subscribe(events.append):
        yield events


def answering(monkeypatch: pytest.MonkeyPatch, *answers: bool) -> list[bool]:
    """STAND-IN for Prefect's server: it says whether it is there, for ever what it said last."""
    left = list(answers)

    async def answers_now() -> bool:
        return left.pop(0) if len(left) > 1 else left[0]

    monkeypatch.setattr(flows.local.run_flow, "prefect_answers", answers_now)
    return left


def outcomes() -> tuple[asyncio.Future[Any], RunMarks]:
    """How Prefect has a run end, and how far it is."""
    return asyncio.get_running_loop().create_future(), RunMarks()


async def test_the_command_waits_for_a_slow_server(monkeypatch: pytest.MonkeyPatch, told: list[Event]):
    left = answering(monkeypatch, *[True] * 5)
    run, marks = outcomes()
    marks.ended.set_result(ServerError("as it ended"))
    waiting = asyncio.create_task(wait_for_outcome(run, marks, ELSEWHERE))
    while len(left) > 1:
        await asyncio.sleep(0.001)
    run.set_result(noted := ServerError("as Prefect noted it"))
    assert await waiting is noted
    assert told == []


async def test_the_command_does_not_wait_for_a_dead_server(monkeypatch: pytest.MonkeyPatch, told: list[Event]):
    answering(monkeypatch, True, False)
    run, marks = outcomes()
    marks.ended.set_result(outcome := ServerError("as it ended"))
    assert await wait_for_outcome(run, marks, ELSEWHERE) is outcome
    (warning,) = told
    assert isinstance(warning, RunWarning)
    assert "may show this run as still running until the server is back" in warning.message


async def test_the_command_waits_for_its_own_server_to_restart(monkeypatch: pytest.MonkeyPatch, told: list[Event]):
    answering(monkeypatch, False)
    run, marks = outcomes()
    marks.ended.set_result(ServerError("as it ended"))
    own = PrefectApi("http://127.0.0.1:4200/api", cast("OwnServer", object()))
    waiting = asyncio.create_task(wait_for_outcome(run, marks, own))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    run.set_result(noted := ServerError("as Prefect noted it"))
    assert await waiting is noted
    assert told == []


async def test_the_command_waits_for_a_limited_time(monkeypatch: pytest.MonkeyPatch, told: list[Event]):
    answering(monkeypatch, True)
    monkeypatch.setattr(flows.local.run_flow, "RECORDED_SECONDS", 0.1)
    run, marks = outcomes()
    marks.ended.set_result(outcome := ServerError("as it ended"))
    assert await wait_for_outcome(run, marks, ELSEWHERE) is outcome
    assert len(told) == 1


async def test_a_run_does_not_fail_because_prefect_could_not_record_its_end(
    monkeypatch: pytest.MonkeyPatch, told: list[Event]
):
    answering(monkeypatch, False)
    run, marks = outcomes()
    marks.ended.set_result(outcome := ServerError("as it ended"))
    run.set_exception(httpx.ConnectError("All connection attempts failed"))
    assert await wait_for_outcome(run, marks, ELSEWHERE) is outcome
    assert len(told) == 1


@pytest.mark.parametrize(
    ("flow", "request_"),
    [
        (process_document, Job(document="a.pdf", json_schema={"type": "object"}, max_usd=0.5, strict=True)),
        (process_batch, Batch(sources=("a", "s3://b/c"), finish_by=time(6, 30), json_schema={"type": "object"})),
    ],
)
def test_a_light_copy_of_a_flow_encodes_its_parameters_as_prefect_does(flow: Any, request_: Job | Batch):
    parameters = {"request": request_}
    assert light_copy(flow).serialize_parameters(parameters) == flow.serialize_parameters(parameters)
    assert "serialize_parameters" not in vars(flow)
