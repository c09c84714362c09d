"""How many requests a server is sent at once: what a run begins with, and what its pages show of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.events import Progress, RunWarning
from tasks.ollama.schema import load_body
from tasks.serving.parallelism import SERIAL_FAMILIES, Served, at_once_while_some_wait, first_number
from tasks.serving.remedies import shortfall
from tasks.slots.ledger import Measured, corrected
from tasks.slots.store import FileStore
from tests.support.ollama.scripted import says
from tests.unit.tasks.serving.warming import LISTED, REQUEST, family, warmed

# What a run begins with


async def test_a_server_is_sent_as_many_as_are_requested(client):
    warmth = await warmed(client, 8)
    assert (warmth.measured.slots, warmth.measured.sure, warmth.note) == (8, False, None)


async def test_a_warm_up_sends_no_page(server, client):
    await warmed(client, 8)
    assert server.asked("/api/generate") == [load_body(REQUEST)]


async def test_a_family_that_ollama_serves_one_by_one_is_sent_one_and_named(server, client, told):
    server.answers("/api/show", family("qwen3vl"))
    warmth = await warmed(client, 2)
    assert (warmth.measured.slots, warmth.measured.sure) == (1, False)
    assert "1 of the 2 slots" in warmth.note
    assert "family qwen3vl one request at a time" in warmth.note
    assert RunWarning(warmth.note) in told


@pytest.mark.parametrize(("requested", "expected"), [(8, 4), (2, 2)])
async def test_a_server_of_hearths_own_is_sent_what_it_was_started_for(client, requested, expected):
    measured = await first_number(client, "model", requested, "qwen25vl", 4)
    assert (measured.slots, measured.asked) == (expected, requested)


async def test_what_the_pages_of_a_run_showed_is_what_the_next_begins_with(client):
    what = (await warmed(client, 8)).measured.what
    store = FileStore.of(Path(), client.url)
    await store.change(lambda ledger: corrected(ledger, what, 3, store.now()))
    warmth = await warmed(client, 8)
    assert warmth.measured.slots == 3
    assert "OLLAMA_NUM_PARALLEL=8" in warmth.note


@pytest.mark.parametrize(
    ("started_for", "cause"),
    [
        (4, r"was started for 4\. Run `hearth stop`: the next run starts one for 8"),
        (8, "works on no more at once, though it was started for 8"),
        (None, "OLLAMA_NUM_PARALLEL=8"),
    ],
)
def test_fewer_slots_than_requested_are_told_with_cause_and_remedy(started_for, cause):
    told = shortfall(8, Measured(what="m", slots=4, asked=8, at=0), "qwen25vl", started_for)
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
    assert stages == ["waiting", "pulling", "loading"]


# Counting what overlaps


@given(st.integers(1, 6), st.integers(1, 4), st.integers(1, 30))
def test_while_some_wait_a_server_works_on_as_many_as_it_can(slots, more, length):
    """A queue before so many slots, each request as long as the others."""
    rounds = [(turn * length, (turn + 1) * length) for turn in range(3)]
    served = [Served(start, end, 0.0) for start, end in rounds for _ in range(slots)]
    late = [Served(3 * length, 4 * length, 0.0)] * min(more, slots)
    assert at_once_while_some_wait(served + late) == slots


def test_where_nobody_waits_nothing_follows_of_how_many_it_could_be():
    assert at_once_while_some_wait([Served(0, 1, 0), Served(0, 1, 0)]) is None
