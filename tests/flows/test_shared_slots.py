"""Runs in processes of their own share the slots of a server, which notes what it is sent.

No test says how quick anything must be but where that is what was promised; the others wait for what must come.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.commands import Hearth, Outcome
from tests.counting_server import CountingOllama, counting_ollama, most, seconds_within, sent, steps
from tests.flows import shared
from tests.flows.shared import Readers, whole

readers, counting = shared.readers, shared.counting

PAGE_SECONDS = 0.5
PROMISED_SECONDS = PAGE_SECONDS + 5
SOON = 5.0  # long before a claim ends that nobody gave back
SLOTS, PAGES, FEW = 4, 120, 8


@dataclass
class Story:
    """Run 1 has every slot when runs 2 and 3 come; run 2 is soon done; run 3 is killed; run 1 goes on to the end."""

    server: CountingOllama
    few: Outcome
    few_ended: float
    killed: float
    first: Outcome


@pytest.fixture(scope="module")
def story(session_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HEARTH_", "PREFECT_"))}
    home = {"HEARTH_HOME": str(session_home), "PREFECT_HOME": str(session_home / "prefect")}
    readers = Readers(Hearth(tmp_path_factory.mktemp("shared"), clean | home))
    try:
        with counting_ollama(SLOTS, PAGE_SECONDS) as server:
            yield _told(readers, server)
    finally:
        readers.end()


def _told(readers: Readers, server: CountingOllama) -> Story:
    def in_flight(run: int) -> int:
        return sum(note.run == run and note.ended is None for note in server.pages)

    server.stuck.update(range(1, PAGES + 1))
    readers.start(1, [server], PAGES, "--slots", str(SLOTS))
    readers.until(lambda: in_flight(1) == SLOTS)
    server.open.clear()
    readers.start(2, [server], FEW, "--slots", str(SLOTS))
    readers.start(3, [server], PAGES, "--slots", str(SLOTS))
    readers.until(lambda: server.waiting == 2)
    server.open.set()
    server.stuck.clear()
    few = readers.outcome(2)
    few_ended = time.monotonic()
    readers.until(lambda: in_flight(1) == in_flight(3) == SLOTS // 2)
    killed = time.monotonic()
    readers.processes[3].kill()
    readers.until(lambda: in_flight(1) == SLOTS, 3)
    server.seconds = lambda _page: PAGE_SECONDS / 10
    return Story(server, few, few_ended, killed, readers.outcome(1))


def test_never_more_requests_in_flight_than_the_server_has_slots(story: Story):
    # What a dead run had in flight is over when it is, whenever the server hears of it.
    spans = [
        (note.received, min(note.ended, max(note.received, story.killed)) if note.run == 3 else note.ended)
        for note in story.server.notes
    ]
    assert most(spans) == SLOTS


def test_the_slots_stay_busy(story: Story):
    start = min(note.received for note in story.server.pages if note.run == 2)
    busy = seconds_within(sent(story.server.pages), start, story.killed)
    assert busy > 0.6 * SLOTS * (story.killed - start)


def test_newcomers_start_although_a_long_run_holds_all_slots(story: Story):
    last_of_first = max(note.received for note in story.server.pages if note.run == 1)
    for run in (2, 3):
        first = min(note.received for note in story.server.pages if note.run == run)
        assert first - story.server.loaded[run] < 2 * PROMISED_SECONDS
        assert first < last_of_first


def test_a_short_run_does_not_wait_for_the_long_ones(story: Story):
    assert whole(story.few, FEW)
    before = [note for note in story.server.pages if note.received < story.few_ended]
    assert sum(note.run == 2 for note in before) == FEW
    assert sum(note.run == 1 for note in before) < PAGES / 2


def test_a_finished_runs_slots_are_used_by_those_that_go_on(story: Story):
    ended = max(note.ended for note in story.server.pages if note.run == 2)
    all_used = (at for at, now in steps(sent(story.server.pages)) if at > ended and now == SLOTS)
    assert next(all_used) - ended < SOON


def test_a_killed_runs_slots_come_back(story: Story):
    # The story went on only when run 1 had all of them.
    later = [note for note in story.server.pages if note.received > story.killed]
    assert {note.run for note in later} == {1}
    assert most(sent(later)) == SLOTS
    assert whole(story.first, PAGES)


def test_a_server_under_another_name_is_the_same_server(readers: Readers, counting):
    server = counting(SLOTS)
    server.open.clear()
    readers.start(1, [server], 24, "--slots", str(SLOTS))
    readers.start(2, [server], 24, "--slots", str(SLOTS), HEARTH_URL=server.url.replace("127.0.0.1", "localhost"))
    readers.until(lambda: server.waiting == 2)
    server.open.set()
    assert all(whole(readers.outcome(run), 24) for run in (1, 2))
    assert most(sent(server.pages)) == SLOTS


@pytest.mark.long
class TestOddRuns:
    def test_one_that_asks_for_more_has_the_server_measured_anew(self, readers: Readers, counting):
        server = counting(SLOTS)
        readers.start(1, [server], 80, "--slots", "2")
        readers.until(lambda: server.held == 2)
        readers.start(2, [server], 30, "--slots", str(SLOTS))
        assert readers.outcome(2).json["slots"] == SLOTS
        assert readers.outcome(1).json["slots"] == 2
        assert most(sent(server.notes)) == SLOTS

    def test_one_that_is_killed_while_it_measures_does_not_hold_others_up_for_ever(self, readers: Readers, counting):
        server = counting(SLOTS)
        server.probe_seconds = 60.0
        readers.start(1, [server], 8, "--slots", str(SLOTS))
        readers.until(lambda: server.held > 0)
        readers.processes[1].kill()
        server.probe_seconds = 0.3
        readers.start(2, [server], 8, "--slots", str(SLOTS))
        outcome = readers.outcome(2)
        assert whole(outcome, 8)
        assert outcome.json["slots"] == SLOTS

    def test_one_that_stood_still_for_longer_than_its_claim_takes_no_slot_of_others(self, readers: Readers, counting):
        server = counting(SLOTS)

        def in_flight(run: int) -> int:
            return sum(note.run == run and note.ended is None for note in server.pages)

        server.open.clear()
        for run in (1, 2):
            readers.start(run, [server], 100, "--slots", str(SLOTS))
        readers.until(lambda: server.waiting == 2)
        server.open.set()
        readers.until(lambda: in_flight(1) == in_flight(2) == SLOTS // 2)
        readers.processes[2].send_signal(signal.SIGSTOP)
        readers.until(lambda: in_flight(1) == SLOTS)
        readers.processes[2].send_signal(signal.SIGCONT)
        assert all(whole(readers.outcome(run), 100) for run in (1, 2))
        assert most(sent(server.notes)) == SLOTS
