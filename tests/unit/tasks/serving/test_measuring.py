"""Getting a model warm: how many requests its server really serves at once."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.events import Progress, RunWarning
from tasks.ollama.schema import load_body
from tasks.serving.parallelism import (
    SERIAL_FAMILIES,
    Served,
    at_once_while_some_wait,
    measure_parallelism,
    most_at_once,
)
from tasks.serving.remedies import shortfall
from tasks.slots.ledger import Measured
from tests.support.clock import Clock
from tests.support.ollama.scripted import Body, Say, fails, reads, says, serving
from tests.unit.tasks.serving.warming import LISTED, REQUEST, family, warmed

SECONDS = 0.3
AT_ONCE = [(2, 2), (4, 2), (2, 1), (2, 3)]
# By its own durations it works on nothing for long enough to work on two things at once.
ONE_BY_ONE = reads(prompt_eval_duration=1, eval_duration=1)


# Measuring


@pytest.mark.parametrize(("asked", "serves"), AT_ONCE)
async def test_the_requests_that_a_server_really_serves_at_once_are_counted_by_its_durations(
    server, client, asked, serves
):
    server.answers("/api/generate", serving(serves, SECONDS))
    assert (await warmed(client, asked)).measured.slots == min(asked, serves)


def by_turns(clock: Clock, alone: int, at_once: int) -> Callable[[Body], Awaitable[Say]]:
    """Answers without durations, `at_once` of them after each turn, which moves the clock; the first are alone."""
    turn: list[asyncio.Event] = []
    arrived = 0

    async def serve(_: Body) -> Say:
        nonlocal arrived
        arrived += 1
        turn.append(over := asyncio.Event())
        if len(turn) < at_once and arrived > alone:
            with suppress(TimeoutError):  # of the last turn some may not come
                await asyncio.wait_for(over.wait(), 1)
        if not over.is_set():
            clock.advance(SECONDS)
            for each in turn:
                each.set()
            turn.clear()
        return says(response="Hello.", done=True)

    return serve


@pytest.mark.parametrize(("asked", "serves"), AT_ONCE)
async def test_of_a_server_without_durations_they_are_counted_by_the_clock(server, client, asked, serves, monkeypatch):
    clock = Clock()
    monkeypatch.setattr("tasks.serving.parallelism.time", clock)
    server.answers("/api/generate", by_turns(clock, 2, min(asked, serves)))
    assert (await measure_parallelism(client, REQUEST, asked)).slots == min(asked, serves)


@pytest.mark.parametrize(("asked", "serves"), [(4, 4), (8, 4), (4, 1)])
async def test_requests_that_are_over_in_a_moment_are_counted_right_each_time(server, client, asked, serves):
    """One probe each would be over before the last one came: sent one after another they meet."""
    server.answers("/api/generate", serving(serves, 0.02))
    counts = [(await measure_parallelism(client, REQUEST, asked)).slots for _ in range(5)]
    assert counts == [serves] * 5


async def test_a_server_that_asks_for_a_pause_is_measured_after_it(server, client):
    pause = replace(fails(429, "too many requests"), headers={"Retry-After": "1"})
    server.answers("/api/generate", reads(), pause, serving(2, SECONDS))
    assert (await measure_parallelism(client, REQUEST, 2)).slots == 2


async def test_one_slot_needs_no_measuring(server, client):
    await warmed(client, 1)
    assert server.asked("/api/generate") == [load_body(REQUEST)]


async def test_a_measurement_that_is_interrupted_is_made_again(server, client):
    server.answers("/api/generate", reads(""), reads(), fails(503, "busy"), reads())
    assert (await warmed(client, 2)).measured.slots == 2


async def test_a_family_that_ollama_serves_one_by_one_is_named(server, client, told):
    server.answers("/api/show", family("qwen3vl"))
    server.answers("/api/generate", ONE_BY_ONE)
    warmth = await warmed(client, 2)
    assert warmth.measured.slots == 1
    assert "1 of the 2 slots" in warmth.note
    assert "family qwen3vl one request at a time" in warmth.note
    assert RunWarning(warmth.note) in told


async def test_a_server_with_fewer_slots_than_asked_for_is_told(server, client):
    server.answers("/api/generate", ONE_BY_ONE)
    assert "OLLAMA_NUM_PARALLEL" in (await warmed(client, 2)).note


@pytest.mark.parametrize(
    ("started_for", "busy", "cause"),
    [
        (4, False, r"was started for 4\. Run `hearth stop`: the next run starts one for 8"),
        (4, True, r"was started for 4\. Run `hearth stop`"),
        (8, False, "works on no more at once, though it was started for 8"),
        (None, False, "OLLAMA_NUM_PARALLEL=8"),
        (None, True, "others used the server while it was measured"),
    ],
)
def test_fewer_slots_than_requested_are_told_with_cause_and_remedy(started_for, busy, cause):
    measured = Measured(what="m", slots=4, asked=8, at=0, busy=busy)
    told = shortfall(8, measured, "qwen25vl", started_for)
    assert told is not None
    assert told.startswith("4 of the 8 slots requested: ")
    assert re.search(cause, told)


def test_as_many_slots_as_requested_are_nothing_to_tell():
    assert shortfall(4, Measured(what="m", slots=4, asked=4, at=0), "qwen25vl", 4) is None


def test_the_default_model_is_of_a_family_that_ollama_serves_in_parallel():
    assert "qwen25vl" not in SERIAL_FAMILIES


async def test_each_step_is_told_in_order(server, client, told):
    server.answers("/api/tags", says(models=[]), LISTED)
    await warmed(client)
    stages = [event.message.split()[0] for event in told if isinstance(event, Progress)]
    assert stages == ["waiting", "pulling", "loading", "measuring"]


# Counting what overlaps

spans = st.builds(lambda start, length: Served(start, start + length), st.integers(0, 60), st.integers(1, 40))


def inner(span: Served) -> tuple[float, float]:
    """A span without its edges."""
    edge = (span.end - span.start) * 0.15
    return span.start + edge, span.end - edge


@given(st.lists(spans, min_size=1, max_size=12))
def test_most_at_once_is_the_fullest_moment(served):
    cores = [inner(span) for span in served]
    fullest = max(sum(start <= moment < end for start, end in cores) for moment, _ in cores)
    assert most_at_once(served) == fullest


@given(st.integers(1, 8), st.integers(1, 5), st.floats(-0.14, 0.14))
def test_rows_of_requests_count_as_many_as_there_are_rows(rows, turns, slip):
    """One right after the other in each row, by a clock that is off by up to a seventh of a request."""
    served = [Served(turn + slip * (turn % 2), turn + 1 + slip * (turn % 2)) for turn in range(turns)] * rows
    assert most_at_once(served) == rows


def test_nothing_served_is_nothing_at_once():
    assert most_at_once([]) == 0


@given(st.integers(1, 6), st.integers(1, 4), st.integers(1, 30))
def test_while_some_wait_a_server_works_on_as_many_as_it_can(slots, more, length):
    """A queue before so many slots, each request as long as the others."""
    rounds = [(turn * length, (turn + 1) * length) for turn in range(3)]
    served = [Served(start, end, 0.0) for start, end in rounds for _ in range(slots)]
    late = [Served(3 * length, 4 * length, 0.0)] * min(more, slots)
    assert at_once_while_some_wait(served + late) == slots


def test_where_nobody_waits_nothing_follows_of_how_many_it_could_be():
    assert at_once_while_some_wait([Served(0, 1, 0), Served(0, 1, 0)]) is None
