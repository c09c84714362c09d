"""The machine's real program runs on the harness's machines."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from tests.support.aws.faults import throttled
from tests.support.aws.front import AwsFront
from tests.support.aws.launches import described, launch, state
from tests.support.aws.machines import Machines
from tests.support.aws.plan import Plan
from tests.support.aws.pool import Pool
from tests.support.aws.visits import ask, of_instance, serving, tags
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.long("tests the harness")

WATCHDOG = {"HEARTH_IDLE_SECONDS": "8", "HEARTH_POLL_SECONDS": "0.1"}
"""Far longer than the half second from one use to the next, so that no slow machine is idle in between."""


@pytest.mark.parametrize(("behaviour", "end"), [("terminate", "terminated"), ("stop", "stopped")])
def test_an_idle_machine_powers_itself_off(aws: AwsFront, pool: Pool, machines: Machines, behaviour: str, end: str):
    machines.plan = Plan(watchdog=WATCHDOG)
    name = launch(aws, pool)
    ec2 = aws.client("ec2")
    ec2.modify_instance_attribute(InstanceId=name, InstanceInitiatedShutdownBehavior={"Value": behaviour})
    machine = serving(machines)
    began = time.monotonic()
    while time.monotonic() - began < 10:  # used for longer than the idle time
        ask(machine)
        time.sleep(0.5)
    assert state(aws, name) == "running"
    machines.wait(lambda: state(aws, name) == end)
    assert machine.watchdog.wait(PATIENCE) == 0
    assert described(aws, name)[0]["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"
    assert machines.running() == []


def test_a_busy_machine_does_not_keep_another_one_up(aws: AwsFront, pool: Pool, machines: Machines):
    machines.plan = Plan(watchdog=WATCHDOG)
    busy = of_instance(machines, launch(aws, pool))
    with httpx.Client() as client:
        client.get(busy.url)  # and the connection stays
        idle = of_instance(machines, launch(aws, pool))
        machines.wait(lambda: state(aws, idle.id) == "terminated")
        assert machines.running() == [busy.id]


def test_the_watchdog_publishes_an_interruption_through_faults(aws: AwsFront, pool: Pool, machines: Machines):
    machines.plan = Plan(watchdog={**WATCHDOG, "HEARTH_IDLE_SECONDS": "36000"})
    launch(aws, pool, "spot")
    machine = serving(machines)
    aws.inject(throttled(), "CreateTags", times=2)
    when = machines.interrupt(machine, after=36_000)
    machines.wait(lambda: "hearth:notice" in tags(aws, machine))
    assert tags(aws, machine)["hearth:notice"] == f"{when:%Y-%m-%dT%H:%M:%SZ} spot-interruption"
    assert {call.pid for call in aws.called("CreateTags")} == {machine.watchdog.pid}


def test_a_machine_ends_at_its_age_and_says_so_before(aws: AwsFront, pool: Pool, machines: Machines):
    life = {"HEARTH_IDLE_SECONDS": "36000", "HEARTH_LIFETIME_SECONDS": "4", "HEARTH_NOTICE_SECONDS": "3"}
    machines.plan = Plan(watchdog={**WATCHDOG, **life})
    began = datetime.now(UTC)
    name = launch(aws, pool)
    machine = of_instance(machines, name, serves=False)
    machines.wait(lambda: tags(aws, machine).get("hearth:notice", "").endswith(" lifetime"))
    told = datetime.fromisoformat(tags(aws, machine)["hearth:notice"].split()[0])
    machines.wait(lambda: state(aws, name) == "terminated")
    assert began + timedelta(seconds=3) <= told <= datetime.now(UTC)  # the notice tells whole seconds


def test_the_machine_s_other_commands_reach_aws(aws: AwsFront, pool: Pool, machines: Machines, tmp_path):
    launch(aws, pool)
    machine = serving(machines)
    machines.wait(lambda: tags(aws, machine).get("hearth:stage") == "serving")
    assert machine.run("tell", "pulling qwen2.5vl:7b").returncode == 0
    assert tags(aws, machine)["hearth:stage"] == "pulling qwen2.5vl:7b"
    (tmp_path / "boot.log").write_text("one\ntwo\n")
    assert machine.run("log", str(tmp_path / "boot.log")).returncode == 0
    place = {"logGroupName": "/hearth/default", "logStreamName": machine.id}
    events = aws.client("logs").get_log_events(**place)["events"]
    assert [event["message"] for event in events] == ["one", "two"]
