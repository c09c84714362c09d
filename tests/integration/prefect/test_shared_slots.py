"""Runs in processes of their own share the slots of a server, which notes what it is sent.

No test says how quick anything must be: the server holds pages back, and the tests wait for what must come meanwhile.
"""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

import pytest

from tasks.slots.ledger import Ledger
from tasks.slots.store import FileStore
from tests.integration.prefect import shared
from tests.integration.prefect.shared import Readers, whole
from tests.support.ollama.counting import CountingOllama, Note, most, sent

pytestmark = pytest.mark.long("two runs beside each other: 15 s")

readers, counting = shared.readers, shared.counting

SLOTS, PAGES, FEW = 4, 40, 8


class Held:
    """Pages of some runs, which the server holds back until the test lets them go, one by one or all."""

    def __init__(self, server: CountingOllama, *runs: int) -> None:
        self._server = server
        self._runs = set(runs)
        self._gone: list[Note] = []
        server.exact = True
        server.holds = lambda note: note.run in self._runs and not any(note is gone for gone in self._gone)

    def let_one_go(self, run: int) -> None:
        """The one of a run that was sent first."""
        self._gone.append(in_flight(self._server, run)[0])

    def let_all_go(self) -> None:
        self._runs.clear()


def in_flight(server: CountingOllama, run: int) -> list[Note]:
    """A run's pages that the server has now."""
    return [note for note in server.pages if note.run == run and note.ended is None]


def ledger(readers: Readers, server: CountingOllama) -> Ledger:
    """What the runs have written of their shares."""
    store = FileStore.of(Path(readers.hearth.environment["HEARTH_HOME"]), server.url)
    return asyncio.run(store.change(lambda ledger: ledger))


def _long_run(readers: Readers, server: CountingOllama) -> Held:
    """Run 1 has every slot, and its pages are held."""
    held = Held(server, 1)
    readers.start(1, [server], PAGES, "--slots", str(SLOTS))
    readers.until(lambda: len(in_flight(server, 1)) == SLOTS)
    return held


def _wanting(ledger: Ledger) -> int:
    """How many runs have entered that they could use slots."""
    return sum(claim.wants > 0 for claim in ledger.claims.values())


def _give_a_share(readers: Readers, server: CountingOllama, held: Held, run: int) -> None:
    """Run 1's pages end until the other run has its share, which is half of the slots."""
    readers.until(lambda: _wanting(ledger(readers, server)) == 2)
    while sum(note.run == run for note in server.pages) < SLOTS // 2:
        time.sleep(FileStore.watch_seconds)  # run 1 looks into the ledger now and then
        before = len(server.pages)
        held.let_one_go(1)
        readers.until(lambda before=before: len(server.pages) > before)
    assert _ended(server, 1) < PAGES / 2


def _ended(server: CountingOllama, run: int) -> int:
    return sum(note.run == run and note.ended is not None for note in server.pages)


@pytest.mark.long("takes 10 s; test_slot_sharing has the rule")
def test_a_new_run_gets_its_share_from_a_run_that_holds_all_slots(readers: Readers, counting):
    server = counting(SLOTS, 0.05)
    held = _long_run(readers, server)
    server.holds, long = lambda note: note.run == 2 or long(note), server.holds
    readers.start(2, [server], FEW, "--slots", str(SLOTS))
    _give_a_share(readers, server, held, 2)
    assert [len(in_flight(server, run)) for run in (1, 2)] == [SLOTS // 2] * 2
    server.holds = lambda _note: False
    assert whole(readers.outcome(2), FEW)
    assert whole(readers.outcome(1), PAGES)
    assert most(sent(server.notes)) == SLOTS


def test_a_short_run_does_not_wait_for_a_long_one_and_frees_its_slots_at_its_end(readers: Readers, counting):
    server = counting(SLOTS, 0.05)
    held = _long_run(readers, server)
    readers.start(2, [server], FEW, "--slots", str(SLOTS))

    def starves() -> bool:
        claims = ledger(readers, server).claims.values()
        return any(claim.wants and not claim.holds for claim in claims) and not in_flight(server, 2)

    # The long run's pages end only when the short one has no slot, but could use one.
    while _ended(server, 2) < FEW:
        readers.until(lambda: _ended(server, 2) == FEW or starves())
        if starves():
            before = len(server.pages)
            held.let_one_go(1)
            readers.until(lambda before=before: len(server.pages) > before)
            time.sleep(FileStore.watch_seconds)  # it looks into the ledger now and then
    assert _ended(server, 1) < PAGES / 2
    assert whole(readers.outcome(2), FEW)
    # Nobody has to wait until its claim ends by itself.
    assert len(ledger(readers, server).claims) == 1
    readers.until(lambda: len(in_flight(server, 1)) == SLOTS)
    held.let_all_go()
    assert whole(readers.outcome(1), PAGES)
    assert most(sent(server.notes)) == SLOTS


@pytest.mark.long("takes 13 s; test_slot_sharing has the rule")
def test_a_free_slot_is_used_again_while_pages_are_left(readers: Readers, counting):
    server = counting(SLOTS, 0.05)
    held = Held(server, 1, 2)
    for run in (1, 2):
        readers.start(run, [server], PAGES, "--slots", str(SLOTS))
    readers.until(lambda: server.held == SLOTS and _wanting(ledger(readers, server)) == 2)
    for turn in range(4 * SLOTS):
        before, runs = len(server.pages), (1, 2) if turn % 2 else (2, 1)
        held.let_one_go(next(run for run in runs if in_flight(server, run)))
        readers.until(lambda before=before: len(server.pages) == before + 1 and server.held == SLOTS)
    held.let_all_go()
    assert all(whole(readers.outcome(run), PAGES) for run in (1, 2))
    assert most(sent(server.notes)) == SLOTS


@pytest.mark.long("takes 20 s")
def test_the_slots_of_a_killed_run_are_freed(readers: Readers, counting):
    server = counting(SLOTS, 0.05)
    held = _long_run(readers, server)
    server.holds, long = lambda note: note.run == 2 or long(note), server.holds
    readers.start(2, [server], PAGES, "--slots", str(SLOTS))
    _give_a_share(readers, server, held, 2)
    readers.processes[2].kill()
    # What it had in flight is over when the server hears that it has gone.
    readers.until(lambda: not in_flight(server, 2), 2)
    readers.until(lambda: len(in_flight(server, 1)) == SLOTS, 2)
    held.let_all_go()
    assert whole(readers.outcome(1), PAGES)
    assert most(sent(server.notes)) == SLOTS


@pytest.mark.long("takes 10 s")
def test_two_names_of_a_server_share_one_ledger(readers: Readers, counting):
    server = counting(SLOTS)
    server.open.clear()
    readers.start(1, [server], 24, "--slots", str(SLOTS))
    readers.start(2, [server], 24, "--slots", str(SLOTS), HEARTH_URL=server.url.replace("127.0.0.1", "localhost"))
    readers.until(lambda: server.waiting == 2)
    server.open.set()
    assert all(whole(readers.outcome(run), 24) for run in (1, 2))
    assert most(sent(server.pages)) == SLOTS


@pytest.mark.long("reads many pages")
class TestOddRuns:
    def test_a_run_that_requests_more_slots_gets_them_if_the_server_has_them(self, readers: Readers, counting):
        server = counting(SLOTS)
        readers.start(1, [server], 80, "--slots", "2")
        readers.until(lambda: server.held == 2)
        readers.start(2, [server], 30, "--slots", str(SLOTS))
        assert readers.outcome(2).json["slots"] == SLOTS
        assert readers.outcome(1).json["slots"] == 2
        assert most(sent(server.notes)) == SLOTS

    def test_a_run_stopped_longer_than_its_claim_takes_no_slots_of_others(self, readers: Readers, counting):
        server = counting(SLOTS)

        server.open.clear()
        for run in (1, 2):
            readers.start(run, [server], 100, "--slots", str(SLOTS))
        readers.until(lambda: server.waiting == 2)
        server.open.set()
        readers.until(lambda: [len(in_flight(server, run)) for run in (1, 2)] == [SLOTS // 2] * 2)
        readers.processes[2].send_signal(signal.SIGSTOP)
        readers.until(lambda: len(in_flight(server, 1)) == SLOTS)
        readers.processes[2].send_signal(signal.SIGCONT)
        assert all(whole(readers.outcome(run), 100) for run in (1, 2))
        assert most(sent(server.notes)) == SLOTS
