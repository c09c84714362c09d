"""How many slots a server has, as runs learn it and tell each other."""

from __future__ import annotations

import pytest

from tasks.core.replicas import Replicas
from tasks.slots.allocation import SlotAllocation
from tasks.slots.ledger import Ledger, Measured, beginning, corrected, left
from tasks.slots.store import FileStore
from tests.support.waiting import until_async
from tests.unit.tasks.slots.shares import measured, sharing

NOW = 1_000_000.0


def begun_with(slots: int, asked: int, server: str = "", known: Ledger | None = None) -> Ledger:
    """Return the ledger after a run that begins with a number, of those that it requested."""
    first = Measured(what="model", slots=slots, asked=asked, at=NOW, server=server, sure=False)
    return beginning(known or Ledger(), first)


async def test_slots_follow_the_parts_of_a_server(store):
    parts = Replicas(0)
    parts.see(2, paid=2)
    share = SlotAllocation(store, 100, measured(4), lambda: None, parts)
    await share.open()
    assert (share.capacity, share.free) == (8, 8)
    parts.see(4, paid=4)
    await until_async(lambda: (share.capacity, share.free) == (16, 16))
    parts.see(1, paid=4)
    await until_async(lambda: (share.capacity, share.free) == (4, 4))
    await share.close()


def test_of_a_server_that_nobody_used_a_run_expects_the_number_that_it_begins_with():
    assert begun_with(8, 8).capacity == 8


@pytest.mark.parametrize("asked", [2, 8, 16])
def test_what_pages_showed_of_a_server_holds_for_the_next_run(asked):
    """Whatever it requests: the server had more requests than it worked on."""
    assert begun_with(asked, asked, known=begun_with(3, 8)).capacity == 3


def test_a_run_that_requests_more_than_was_tried_tries_them():
    assert begun_with(8, 8, known=begun_with(2, 2)).capacity == 8


def test_a_run_that_requests_fewer_leaves_the_number_as_it_is():
    assert begun_with(2, 2, known=begun_with(8, 8)).capacity == 8


def test_of_a_server_that_was_started_anew_nothing_is_known():
    """What was found of the one before it at its address holds no more."""
    assert begun_with(8, 8, "3 4", known=begun_with(4, 8, "1 2")).capacity == 8


@pytest.mark.parametrize(("server", "known"), [("", 0), ("1 2", 3)])
def test_an_idle_server_is_remembered_if_it_would_show_that_it_was_restarted(server, known):
    assert left(begun_with(3, 8, server), "run").live(NOW + 3600).capacity == known


async def test_a_number_that_pages_corrected_holds_for_all_runs(store: FileStore):
    async with sharing(store) as one, sharing(store) as other:
        one.correct(2)
        await until_async(lambda: one.served == other.served == 2)
        assert one.free + other.free <= 2


def test_a_number_is_known_for_a_while_after_the_last_run_that_used_it():
    ledger = left(begun_with(3, 8), "run", NOW + 600)
    assert (ledger.live(NOW + 610).capacity, ledger.live(NOW + 700).capacity) == (3, 0)


def test_a_number_that_was_asked_for_is_proven_when_it_was_seen_and_stays_as_large_as_it_was():
    begun = begun_with(8, 8)
    assert not begun.proven
    limited = begun.model_copy(update={"limit": 4})
    seen = corrected(limited, "model", 8, NOW)
    assert (seen.proven, seen.capacity, seen.limit) == (True, 8, 4)


def test_a_larger_number_that_is_tried_is_not_proven():
    tried = corrected(begun_with(1, 8), "model", 2, NOW, seen=False)
    assert (tried.capacity, tried.proven) == (2, False)


async def test_what_the_last_page_showed_is_known_to_the_next_run(store: FileStore):
    async with sharing(store) as share:
        share.correct(2)
    assert (await store.change(lambda ledger: ledger)).capacity == 2
