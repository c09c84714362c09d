"""`hearth read` on EC2, as tests run it and judge its outcome from outside."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path

from tests.support.aws.machine import Machine
from tests.support.aws.machines import Machines
from tests.support.aws.plan import Plan
from tests.support.commands import Hearth, Outcome
from tests.support.pdfs import written

PROBES = 16
"""Requests at most with which one warm-up measures."""


def paper(directory: Path, pages: int, name: str = "paper") -> Path:
    return written(directory / f"{name}.pdf", *(f"Page {number} of {name}." for number in range(1, pages + 1)))


class Reading:
    """A command that reads in the background."""

    def __init__(self, ec2: Hearth, *arguments: str | Path) -> None:
        self.outcome: Outcome | None = None

        def run() -> None:
            self.outcome = ec2.read(*arguments)

        self._thread = threading.Thread(target=run)
        self._thread.start()

    def ended(self) -> Outcome:
        self._thread.join()  # the command has its own limit
        assert self.outcome is not None
        return self.outcome


def halfway(ec2: Hearth, machines: Machines, document: Path, held: Path) -> tuple[Reading, Machine]:
    """Start a run whose first machine has read four pages and has two in hand, which end when `held` is deleted."""
    held.write_text("4")
    machines.plan = Plan(engine="tests.support.ecs.engines:held")
    reading = Reading(ec2, document)
    first = machines.one()
    machines.wait(lambda: len(first.read) == 6)
    return reading, first


def pages_read(machines: Machines) -> Counter[str]:
    """How often each image was read, on all machines together."""
    read: Counter[str] = Counter()
    for machine in machines:
        read.update(machine.read)
    return read


def complete(outcome: Outcome, pages: int) -> None:
    assert outcome.code == 0, outcome.err
    assert [entry["status"] for entry in outcome.manifest["pages"]] == ["read"] * pages
    texts = {outcome.page(number)["text"] for number in range(1, pages + 1)}
    assert len(texts) == pages  # the engine answers each image with its digest
