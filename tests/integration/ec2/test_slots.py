"""Runs anywhere share a server's slots through an item of the pool's table; a run may use several machines."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tasks.aws.client import Aws
from tasks.core.errors import CloudError
from tasks.leasing.slot_store import TableStore
from tasks.leasing.table import Table
from tasks.slots.allocation import SlotAllocation
from tasks.slots.ledger import Ledger, Measured
from tests.integration.ec2.acquiring import backend, leases
from tests.support.aws.faults import denied, lost_answer
from tests.support.aws.front import AwsFront
from tests.support.aws.machines import Machines
from tests.support.aws.plan import Plan
from tests.support.aws.pool import Pool
from tests.support.aws.reading import Reading, complete, pages_read, paper
from tests.support.aws.wire import REGION
from tests.support.commands import Hearth
from tests.support.waiting import until_async


@pytest.fixture
def store(aws: AwsFront, pool: Pool, monkeypatch: pytest.MonkeyPatch) -> TableStore:
    for name, value in (("poll_seconds", 0.1), ("watch_seconds", 0.2), ("lease_seconds", 36_000.0)):
        monkeypatch.setattr(TableStore, name, value)
    return TableStore(Table(Aws(REGION), pool.outputs["TableName"]), "i-1")


@asynccontextmanager
async def sharing(store: TableStore, slots: int = 4) -> AsyncIterator[SlotAllocation]:
    share = SlotAllocation(store, slots, Measured(what="m", slots=slots, asked=slots, at=time.time()), lambda: None)
    await share.open()
    try:
        yield share
    finally:
        await share.close()


async def until_free(share: SlotAllocation, slots: int) -> None:
    await until_async(lambda: share.free == slots)


@pytest.mark.long("many writers at once: 8 s")
async def test_simultaneous_changes_are_all_made(store: TableStore):
    async def more() -> None:
        for _ in range(10):
            await store.change(lambda ledger: ledger.model_copy(update={"limit": ledger.limit + 1}))

    await asyncio.gather(*(more() for _ in range(5)))
    assert (await store.change(lambda ledger: ledger)).limit == 50


async def test_a_change_whose_response_was_lost_is_made_once(aws: AwsFront, store: TableStore):
    await store.change(lambda ledger: ledger.model_copy(update={"limit": 1}))
    aws.inject(lost_answer(), "UpdateItem")
    async with sharing(store) as share:
        assert share.free == 4
        assert (await store.change(lambda ledger: ledger)).held == 4


async def test_a_new_run_gets_its_share_and_returns_it_at_its_end(store: TableStore):
    async with sharing(store) as first:
        async with sharing(store) as second:
            await until_free(second, 2)
            await until_free(first, 2)
        await until_free(first, 4)


async def test_the_slots_of_a_dead_run_are_freed_when_its_claim_expires(store: TableStore):
    dead = SlotAllocation(store, 4, Measured(what="m", slots=4, asked=4, at=time.time()), lambda: None)
    await dead.open()
    for _ in range(4):
        dead.take()
    dead._keeping.cancel()
    (claim,) = (await store.change(lambda ledger: ledger)).claims

    def over(ledger: Ledger) -> Ledger:
        ended = ledger.claims[claim].model_copy(update={"ends_at": time.time()})
        return ledger.model_copy(update={"claims": {**ledger.claims, claim: ended}})

    async with sharing(store) as other:
        assert other.free == 0
        await store.change(over)
        await until_free(other, 4)


async def test_a_table_without_permission_is_reported(aws: AwsFront, store: TableStore):
    aws.inject(denied(), "GetItem", times=None)
    with pytest.raises(CloudError, match="GetItem"):
        await store.change(lambda ledger: ledger)


@pytest.mark.long("launches two machines: 5 s")
async def test_two_acquisitions_get_different_machines(aws: AwsFront, pool: Pool, machines: Machines):
    used = backend(machines=2)
    first = await used.acquire(2, "paper on desk")
    second = await used.acquire(2, "paper on desk")
    assert first.machine.id != second.machine.id
    assert sorted(machines.running()) == sorted([first.machine.id, second.machine.id])
    for allocation in (first, second):
        await used.release(allocation)
        assert leases(aws, allocation.machine.id) == {}


def several(ec2: Hearth, machines: int) -> None:
    """Runs read on so many machines at the most, on a further one for ten pages for each of its slots."""
    ec2.environment |= {"HEARTH_EC2__MACHINES": str(machines), "HEARTH_EC2__PAGES_A_SLOT": "10"}


@pytest.mark.long("launches several machines; test_scaling has the rule")
def test_a_large_pdf_is_read_on_as_many_machines_as_its_pages_are_worth(
    ec2: Hearth, machines: Machines, held: Path, tmp_path: Path
):
    held.touch()
    machines.plan = Plan(engine="tests.support.ecs.engines:held")
    several(ec2, 3)
    reading = Reading(ec2, paper(tmp_path, 40), "--slots", "2")
    # Both have pages for both of their slots, beside the image that the warm-up measures with.
    machines.wait(lambda: [len(machine.read) for machine in machines] == [2, 2])
    held.unlink()
    outcome = reading.ended()
    complete(outcome, 40)
    assert all(count == 1 for count in pages_read(machines).values())
    assert len(outcome.manifest["machines"]) == 2


@pytest.mark.long("launches several machines")
def test_a_batch_of_small_pdfs_is_read_on_as_many_machines_as_all_new_pages_are_worth(
    ec2: Hearth, machines: Machines, tmp_path: Path
):
    machines.plan = Plan(boot_s=1, engine_s=0.2)
    several(ec2, 3)
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    paper(inbox, 19, "first")
    assert ec2("batch", inbox, "--json", "--slots", "2").code == 0
    assert len(machines.instances()) == 1
    for name in "abcd":
        paper(inbox, 10, name)
    outcome = ec2("batch", inbox, "--json", "--slots", "2")
    assert outcome.code == 0, outcome.err
    assert len(machines.instances()) == 2


@pytest.mark.long("launches several machines")
def test_a_run_on_two_machines_continues_if_one_is_lost(ec2: Hearth, machines: Machines, tmp_path: Path):
    machines.plan = Plan(boot_s=1, engine_s=0.5)
    several(ec2, 2)
    reading = Reading(ec2, paper(tmp_path, 100), "--slots", "2")
    machines.wait(lambda: len(machines.running()) == 2 and all(len(machine.read) > 3 for machine in machines))
    first = next(iter(machines))
    machines.vanish(first)
    complete(reading.ended(), 100)


@pytest.mark.long("launches several machines")
def test_the_budget_of_a_run_counts_both_machines_stops_new_pages_and_keeps_stored_ones(
    ec2: Hearth, machines: Machines, tmp_path: Path
):
    machines.plan = Plan(boot_s=1, engine_s=0.5)
    ec2.environment |= {"HEARTH_EC2__MACHINES": "2", "HEARTH_EC2__SPOT_POLICY": "on_demand"}
    document, budget = paper(tmp_path, 400), 0.012  # 41 s of two machines; the pages take 50 at the least
    left = ec2.read(document, "--slots", "2", "--max-usd", str(budget))
    assert (left.code, left.json["status"]) == (3, "stopped"), left.err
    assert budget <= left.manifest["cost_usd"] < 1.5 * budget
    assert len(left.manifest["machines"]) == 2
    read = len(list((left.directory / "pages").iterdir()))
    assert 0 < read < 400
    assert sum(pages_read(machines).values()) == read  # none that was begun is lost
    complete(ec2.read(document, "--slots", "2"), 400)
    assert all(count == 1 for count in pages_read(machines).values())
