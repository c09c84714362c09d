"""The costs of a pool's machines, from their ledger and from EC2, which is moto; its clock is real."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tasks.backends.ec2.pool import Pool as OpenPool
from tasks.backends.ec2.reaper import end, reap
from tasks.backends.ec2.usage import pool_pieces, record_ready, record_state, usd_today
from tasks.core.errors import BudgetSpentError, CloudError
from tasks.costs.attribution import Rates, Span
from tasks.costs.bill import Bill, By, Line, make_bill
from tasks.leasing.usage_ledger import day_of
from tests.integration.ec2.acquiring import backend
from tests.integration.ec2.idle_machines import leased, opened, seen, stopped
from tests.support.aws.faults import denied
from tests.support.aws.front import AwsFront
from tests.support.aws.launches import launch
from tests.support.aws.machines import Machines
from tests.support.aws.pool import Pool
from tests.support.aws.reading import complete, paper
from tests.support.aws.tables import make_table
from tests.support.commands import Hearth

pytestmark = pytest.mark.long("launches a machine for each test: 1 to 10 s")


async def billed(pool: OpenPool, by: By = By.MACHINE) -> Bill:
    now = datetime.now(UTC)
    since = now - timedelta(days=1)
    return make_bill(await pool_pieces(pool, since, now), by, since, now)


async def entered(pool: OpenPool) -> list[Span]:
    today = day_of(time.time())
    return list(await pool.records.ledger.spans(today - timedelta(days=1), today))


def life(line: Line) -> float:
    """Seconds for which it ran."""
    return line.leased + line.boot + line.idle


def test_the_cost_of_a_run_is_shown_by_document_and_adds_up(ec2: Hearth, machines: Machines, tmp_path: Path):
    outcome = ec2.read(paper(tmp_path, 2), HEARTH_EC2__SPOT_POLICY="on_demand")  # moto's spot costs nearly nothing
    complete(outcome, 2)
    shares = outcome.manifest["shares"]
    assert shares["direct_usd"] + shares["boot_usd"] == pytest.approx(outcome.manifest["cost_usd"], abs=2e-6)
    assert shares["idle_usd_at_most"] == pytest.approx(0.526 / 6, abs=1e-3)  # ten minutes
    assert outcome.manifest["insight"]["saving"]["usd"] > 0
    told = ec2("cost", "--by", "document", "--json")
    assert told.code == 0, told.err
    bill = Bill.model_validate_json(told.out)
    (line,) = bill.lines
    assert line.name == "paper"
    assert line.boot > 0 < line.leased
    (name,) = machines.running()
    assert life(line) == pytest.approx(bill.until.timestamp() - asyncio.run(_launched(name)), abs=0.001)
    assert line.usd == pytest.approx(life(line) * 0.526 / 3600)
    assert bill.provisional


def test_a_spent_budget_of_a_run_stops_new_pages(ec2: Hearth, machines: Machines, tmp_path: Path):
    left = ec2.read(paper(tmp_path, 3), "--max-usd", "0.000001", HEARTH_EC2__SPOT_POLICY="on_demand")
    assert (left.code, left.json["status"]) == (3, "stopped")
    assert "the budget of 1e-06 USD is spent" in left.err


async def _launched(name: str) -> float:
    return (await seen(await opened(), name)).launched_at


async def test_simultaneous_runs_share_a_machines_seconds(aws: AwsFront, pool: Pool, machines: Machines):
    pool_, name = await opened(), launch(aws, pool)
    machine = await seen(pool_, name)
    await record_state(pool_, machine)
    await record_ready(pool_, machine)
    one, other = await leased(pool_, name), await leased(pool_, name)
    await asyncio.sleep(0.2)  # for some seconds to be shared
    await pool_.records.release(name, one, {"one": 3.0, "two": 1.0})
    await pool_.records.release(name, other)
    found = await billed(pool_, By.DOCUMENT)
    lines = {line.name: line for line in found.lines}
    assert lines["one"].leased == pytest.approx(3 * lines["two"].leased)
    uses = await pool_.records.ledger.uses(day_of(one.since), day_of(time.time()))
    assert {use.token for use in uses} == {one.token, other.token}
    held = max(use.ended or 0 for use in uses) - min(use.started for use in uses)
    assert found.total.leased == held / 1000
    assert life(found.total) == pytest.approx(found.until.timestamp() - machine.launched_at, abs=0.001)


async def test_a_stop_by_hearth_is_recorded_with_its_reason(aws: AwsFront, pool: Pool):
    pool_, name = await opened(), launch(aws, pool)
    before = time.time()
    await reap(pool_, await seen(pool_, name))
    (span,) = await entered(pool_)
    assert (span.why, span.exact, span.keeps_disk, span.kept_until) == ("idle", True, True, None)
    assert before * 1000 - 1 <= span.ended <= time.time() * 1000 + 1


async def test_an_unrecorded_stop_is_recorded_from_ec2(aws: AwsFront, pool: Pool):
    pool_, name = await opened(), launch(aws, pool)
    await record_state(pool_, await seen(pool_, name))
    aws.client("ec2").stop_instances(InstanceIds=[name])
    found = await billed(pool_)
    (span,), machine = await entered(pool_), await seen(pool_, name)
    assert machine.changed_at is not None
    assert (span.ended, span.exact, span.keeps_disk) == (round(machine.changed_at * 1000), True, True)
    assert life(found.total) == pytest.approx(max(0.0, machine.changed_at - machine.launched_at))
    assert found.total.disk_usd > 0


async def test_a_stop_without_a_time_in_ec2_gets_the_time_of_its_discovery_until_a_better_one_is_known(
    aws: AwsFront, pool: Pool
):
    pool_, name = await opened(), stopped(aws, pool)
    machine = await seen(pool_, name)
    await record_state(pool_, replace(machine, transition="Server.SpotInstanceTermination", reason="Server.Odd"))
    (guessed,) = await entered(pool_)
    assert (guessed.exact, guessed.why) == (False, "Server.Odd")
    await billed(pool_)
    (known,) = await entered(pool_)
    assert known.exact


async def test_a_manual_start_is_recorded_and_the_disk_is_paid_for_between(aws: AwsFront, pool: Pool):
    pool_, name = await opened(), launch(aws, pool)
    await record_state(pool_, await seen(pool_, name))
    before = time.time()
    aws.client("ec2").stop_instances(InstanceIds=[name])
    await record_state(pool_, await seen(pool_, name))
    await asyncio.sleep(1.1)  # EC2 tells starts apart by the second
    aws.client("ec2").start_instances(InstanceIds=[name])
    found = await billed(pool_)
    assert len(await entered(pool_)) == 2
    assert 0 < found.total.stopped <= time.time() - before + 1  # EC2 tells whole seconds


async def test_the_lease_of_a_dead_run_is_recorded_when_the_machine_is_stopped(aws: AwsFront, pool: Pool):
    pool_, name = await opened(), launch(aws, pool)
    dead = await leased(pool_, name, 0)
    await reap(pool_, await seen(pool_, name))
    (use,) = await pool_.records.ledger.uses(day_of(dead.since), day_of(time.time()))
    assert (use.token, use.holder, use.ended) == (dead.token, dead.holder, round(dead.until * 1000))


async def test_an_active_lease_counts_up_to_now(aws: AwsFront, pool: Pool):
    pool_, name = await opened(), launch(aws, pool)
    machine = await seen(pool_, name)
    await record_ready(pool_, machine)
    await leased(pool_, name)
    await record_state(pool_, machine)
    await record_ready(pool_, machine)
    await asyncio.sleep(0.3)
    assert (await billed(pool_)).total.leased > 0.2


async def test_an_unseen_stop_ends_the_first_start_at_its_last_sight(aws: AwsFront, pool: Pool):
    pool_, name = await opened(), launch(aws, pool)
    earlier = round((await seen(pool_, name)).launched_at) - 1000
    await pool_.records.ledger.started(Span(name, "g4dn.xlarge on-demand in us-east-1a", earlier * 1000, Rates(0.36)))
    await pool_.records.ledger.seen(name, earlier, earlier + 400.0)
    before = (await seen(pool_, name)).launched_at
    found = await billed(pool_)
    assert 400 <= life(found.total) <= 400 + time.time() - before
    assert found.total.stopped == pytest.approx(600, abs=1)
    assert f"stop time is unknown for: {name}" in " ".join(found.notes)


async def test_a_machine_that_ec2_no_longer_knows_ended_at_its_last_sight(aws: AwsFront, pool: Pool):
    pool_ = await opened()
    started = round(time.time()) - 600
    await pool_.records.ledger.started(Span("i-gone", "g4dn.xlarge spot in us-east-1a", started * 1000, Rates(0.36)))
    await pool_.records.ledger.seen("i-gone", started, started + 300.0)
    found = await billed(pool_)
    assert life(found.total) == 300
    assert found.total.usd == pytest.approx(0.03)
    assert not found.provisional


async def test_the_costs_of_a_terminated_machine_are_kept_without_its_record(aws: AwsFront, pool: Pool):
    pool_, name = await opened(), launch(aws, pool, "spot")
    await record_state(pool_, await seen(pool_, name))
    lease = await leased(pool_, name)
    await pool_.records.release(name, lease, {"paper": 1.0})
    await end(pool_, await seen(pool_, name), "asked for")
    await reap(pool_, await seen(pool_, name))  # forgets the record
    (line,) = (await billed(pool_, By.DOCUMENT)).lines
    assert line.name == "paper"
    assert line.saved_usd > 0
    assert line.stopped == 0


async def test_a_run_continues_if_its_costs_cannot_be_recorded(aws: AwsFront, pool: Pool):
    pool_, name = await opened(), launch(aws, pool)
    machine = await seen(pool_, name)
    aws.inject(denied(), "PutItem", times=None, where=lambda call: "span " in str(call.parameters.get("Item", "")))
    await record_state(pool_, machine)
    assert await entered(pool_) == []


async def test_an_old_pool_without_a_ledger_names_the_remedy(aws: AwsFront, pool: Pool):
    dynamodb = aws.behind("dynamodb")
    dynamodb.delete_table(TableName="hearth-default")
    make_table(dynamodb, "hearth-default")
    with pytest.raises(CloudError, match="hearth infra up ec2"):
        await billed(await opened())


# A day's budget


async def test_no_machine_is_acquired_after_the_days_budget_is_spent(aws: AwsFront, pool: Pool):
    pool_ = await opened()
    await pool_.records.ledger.started(Span("i-1", "kind", (round(time.time()) - 1) * 1000, Rates(7200.0)))
    await pool_.records.ledger.seen("i-1", round(time.time()) - 1, time.time())
    assert await usd_today(pool_) > 0.001
    with pytest.raises(BudgetSpentError, match=r"0\.001 USD a day are spent .* HEARTH_EC2__MAX_USD_A_DAY"):
        await backend(max_usd_a_day=0.001).acquire(2, "paper")
    assert aws.called("CreateFleet") == []


async def test_yesterdays_costs_do_not_count_today(aws: AwsFront, pool: Pool, monkeypatch: pytest.MonkeyPatch):
    pool_ = await opened()
    midnight = time.time() // 86400 * 86400
    await pool_.records.ledger.started(Span("i-1", "kind", round(midnight - 3600) * 1000, Rates(1.0)))
    await pool_.records.ledger.seen("i-1", midnight - 3600, midnight + 1.0)
    assert await usd_today(pool_) == pytest.approx(1 / 3600)


@pytest.mark.long("waits for the day's sum to be looked at")
def test_a_days_budget_that_is_spent_during_a_run_stops_new_pages(ec2: Hearth, machines: Machines, tmp_path: Path):
    limits = {"HEARTH_EC2__SPOT_POLICY": "on_demand", "HEARTH_EC2__MAX_USD_A_DAY": "0.000001"}
    left = ec2.read(paper(tmp_path, 4), **limits)
    assert (left.code, left.json["status"]) == (3, "stopped")
    assert "a day are spent" in " ".join(left.err.split())
