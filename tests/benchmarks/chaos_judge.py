"""What is wrong with a document that went through chaos, judged from outside."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from tests.benchmarks.chaos_runs import Reading
from tests.faults import judge
from tests.faults.wire_faults import Call

GOING_S = 30.0


def wrong_with(reading: Reading, output: Path, calls: list[Call]) -> list[str]:
    """All that is wrong; `calls` are the requests for its pages."""
    schedule = reading.schedule
    if reading.errors:
        return reading.errors
    troubles = judge.troubles(output, schedule.document, schedule.pages)
    if troubles:
        return troubles
    attempts = {
        number: entry["attempts"]
        for number, entry in judge.entries_in(judge.found_in(output, schedule.document)).items()
    }
    for number in range(1, schedule.pages + 1):
        of = [call for call in calls if call.page is not None and call.page.number == number]
        troubles += _of_a_page(number, of, reading, len(attempts[number]))
    return troubles


def _of_a_page(number: int, calls: list[Call], reading: Reading, attempts: int) -> Iterator[str]:
    good = sum(call.delivered for call in calls)
    # One that stood still for longer than it waits for an answer has not seen the answer that was there.
    if good > 1 + len(reading.kills) + reading.stops:
        yield f"page {number} was answered {good} times, its run killed {len(reading.kills)} times"
    for at, stored in reading.kills:
        if number in stored and any(call.at > at for call in calls):
            yield f"page {number} was stored when its run was killed, and asked for again"
    # A run that was killed has left no record of what it had not stored.
    last = max((at for at, _ in reading.kills), default=0.0)
    asked = sum(call.at > last for call in calls)
    if asked > attempts:
        yield f"page {number} was asked for {asked} times in one run, and the manifest tells of {attempts} attempts"


def left_over(home: Path) -> Iterator[str]:
    """Processes that belong to the runs' home and are still there after a while."""
    deadline = time.monotonic() + GOING_S
    while (found := list(_of(home))) and time.monotonic() < deadline:
        time.sleep(0.2)
    for process in found:
        yield f"left over: {' '.join(process.info['cmdline'] or ())[:200]}"


def _of(home: Path) -> Iterator[psutil.Process]:
    for process in psutil.process_iter(["cmdline", "environ"]):
        of_ours = (process.info["environ"] or {}).get("HEARTH_HOME") == str(home)
        if of_ours and process.status() != psutil.STATUS_ZOMBIE:
            yield process
