"""Small simulations compared with real runs on servers with known page times: the embedded one, and a counting one.

A simulation is the least time that a run can take. How much longer a run takes is measured by `make bench`: on a busy
machine it says nothing about Hearth.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.costs.assumptions import Assumptions
from tasks.costs.price_book import shipped_book
from tasks.simulation.fleet import simulate
from tasks.simulation.outcome import Outcome
from tasks.simulation.scenario import Rules, Work
from tests.benchmarks.page_times import PageTimes
from tests.integration.prefect import shared
from tests.integration.prefect.shared import Readers, whole
from tests.support.aws.reading import paper
from tests.support.commands import Hearth
from tests.support.ollama.counting import CountingOllama, most, sent

readers, counting = shared.readers, shared.counting

SLOTS = 4
GIVEN = {"slots": f"{SLOTS}", "slowdown_per_slot": "0", "boot_seconds": "0", "load_seconds": "0"}


class Came(Work):
    """Runs that came when they were seen to come."""

    came: tuple[float, ...]

    def coming(self) -> Iterator[tuple[float, int]]:
        yield from ((at, self.run_pages) for at in self.came)


def simulated(pages: int, seconds: float, sigma: float, came: tuple[float, ...] = (0.0,)) -> Outcome:
    given = Assumptions().with_values(GIVEN | {"page_seconds": f"{seconds}", "page_sigma": f"{sigma}"})
    work = Came(pages=pages * len(came), run_pages=pages, came=came)
    return simulate(work, Rules(), given, shipped_book())


def times_of(server: CountingOllama, run: int) -> tuple[float, float, float]:
    """When a run came, warm, when its first page was begun, and when its last ended."""
    pages = [note for note in server.pages if note.run == run]
    begun = min(note.started for note in pages if note.started is not None)
    return server.loaded[run], begun, max(note.ended for note in pages if note.ended is not None)


def test_a_run_has_as_many_pages_in_flight_as_its_simulation(readers: Readers, counting):
    server = counting(SLOTS, 0.2)
    readers.start(1, [server], 12, "--slots", str(SLOTS))
    assert whole(readers.outcome(1), 12)
    # Pages of ten minutes: how many are in flight at once does not depend on how long they take.
    assert most(sent(server.pages)) == max(simulated(12, 600, 0).slots)
    assert len(server.pages) == 12


@pytest.mark.long("reads pages of half a second")
def test_a_run_on_the_embedded_server_is_no_quicker_than_its_simulation(hearth: Hearth, serving, tmp_path: Path):
    """The engine takes half a second for any page."""
    pages = 60
    engine = serving("echo", SLOTS, seconds=0.5)
    outcome = hearth.read(paper(tmp_path, pages), "--slots", str(SLOTS), **engine.settings)
    assert outcome.code == 0, outcome.err
    assert len(outcome.manifest["pages"]) == pages
    assert outcome.manifest["read_seconds"] > 0.93 * simulated(pages, 0.5, 0).span


@pytest.mark.long("reads pages of half a second")
def test_two_runs_that_share_a_server_are_no_quicker_than_their_simulation(readers: Readers, counting):
    pages, times = 120, PageTimes(0.5, 0.3)
    server = counting(SLOTS, times.of)
    readers.start(1, [server], pages, "--slots", str(SLOTS))
    readers.until(lambda: sum(note.ended is not None for note in server.pages) > pages // 4)
    readers.start(2, [server], pages, "--slots", str(SLOTS))
    assert whole(readers.outcome(1), pages)
    assert whole(readers.outcome(2), pages)
    first, second = times_of(server, 1), times_of(server, 2)
    start = min(first[1], first[0])
    seen = simulated(pages, 0.5, 0.3, (0.0, second[0] - start))
    assert max(first[2], second[2]) - start > 0.93 * seen.span
