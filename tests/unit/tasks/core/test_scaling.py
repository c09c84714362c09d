"""How many machines a run begins with: the rule, that runs and the simulation keep to it, and what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.engine.server_group import ServerGroup
from flows.engine.supervisor import ServerRequirements
from tasks.backends.base import Allocation
from tasks.backends.ec2.backend import Ec2Backend
from tasks.core.scaling import Scale, machine_count
from tasks.costs.assumptions import Assumptions
from tasks.costs.price_book import shipped_book
from tasks.inference.schema import GenerateRequest
from tasks.settings.settings import Settings
from tasks.simulation import fleet
from tasks.simulation.fleet import simulate
from tasks.simulation.scenario import Arrivals, Rules, Work


@pytest.fixture(autouse=True)
def clean(clean_environment: None) -> None:
    """No setting of the machine reaches a test."""


@pytest.mark.parametrize(
    ("pages", "threshold", "machines"),
    [(0, 4, 0), (1, 4, 1), (63, 4, 1), (64, 4, 2), (10**6, 4, 5), (8, 0, 1), (9, 0, 2)],
)
def test_a_further_machine_comes_for_so_many_pages_for_each_slot(pages, threshold, machines):
    assert machine_count(pages, 8, 5, threshold) == machines


def test_a_run_begins_with_one_machine_at_least():
    assert Scale(5, 8, 4.0).machines(0) == 1


def test_machines_that_are_there_anyway_are_all_used():
    assert Scale(5).machines(1) == 5


@pytest.mark.parametrize("pages", [3, 511, 512, 1_000, 100_000])
def test_a_run_begins_with_as_many_machines_as_its_simulation(pages: int):
    settings = Settings(ec2={"machines": 5})
    work = Work(pages=pages, run_pages=pages, arrivals=Arrivals.ONCE)
    seen = simulate(work, Rules(machines=5), Assumptions(), shipped_book())
    assert Ec2Backend(settings).scale(Assumptions().slots).machines(pages) == seen.peak


def test_the_simulation_and_a_run_call_the_same_function(monkeypatch: pytest.MonkeyPatch):
    assert fleet.machine_count is machine_count
    monkeypatch.setattr("tasks.core.scaling.machine_count", lambda *_: 4)
    assert Ec2Backend(Settings(ec2={"machines": 5})).scale(8).machines(1) == 4


class Slow(Ec2Backend):
    """Machines that are requested and never start."""

    asked = 0

    async def acquire(self, slots: int, holder: str, parts: int = 1) -> Allocation:
        self.asked += 1
        await asyncio.Event().wait()
        raise AssertionError


async def begun(home: Path, pages: Iterator[int]) -> int:
    """With how many machines of nine such documents begin: a further one for ten pages for each of two slots."""
    settings = Settings(home=home, ec2={"machines": 9, "pages_a_slot": 10})
    backend = Slow(settings)
    wanted = ServerRequirements(GenerateRequest("m", 8192, 100, 60), 2, pages, require_gpu=False, holder="a test")
    async with ServerGroup(backend, wanted, settings):
        await asyncio.sleep(0)
    return backend.asked


@pytest.mark.parametrize(("documents", "machines"), [([3], 1), ([39], 1), ([40], 2), ([8] * 10, 4), ([10_000], 9)])
async def test_the_pages_of_all_documents_count(tmp_path: Path, documents: list[int], machines: int):
    assert await begun(tmp_path, iter(documents)) == machines


async def test_documents_are_counted_only_until_they_are_worth_all_machines(tmp_path: Path):
    counted = 0

    def pages() -> Iterator[int]:
        nonlocal counted
        while True:
            counted += 1
            yield 1

    assert await begun(tmp_path, pages()) == 9
    assert counted == 180
