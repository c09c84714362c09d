"""`hearth read` on EC2, end to end."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.aws.faults import denied
from tests.support.aws.front import AwsFront
from tests.support.aws.machines import Machines
from tests.support.aws.plan import Plan
from tests.support.aws.reading import Reading, complete, halfway, paper
from tests.support.commands import Hearth, PrefectServer

pytestmark = pytest.mark.long("runs the command with machines: 7 to 14 s")


@pytest.mark.long("takes 15 s; test_ec2_slots has the choice of machines")
def test_a_small_pdf_is_read_on_one_of_several_machines_which_stays_warm(
    ec2: Hearth, machines: Machines, tmp_path: Path
):
    machines.plan = Plan()
    ec2.environment["HEARTH_EC2__MACHINES"] = "3"
    first = ec2.read(paper(tmp_path, 5))
    complete(first, 5)
    (record,) = first.manifest["machines"]
    assert record["kind"] == "g4dn.xlarge spot in us-east-1a"
    assert record["usd"] is not None
    second = ec2.read(paper(tmp_path, 2, "other"))
    complete(second, 2)
    assert machines.running() == [second.manifest["machines"][0]["id"]] == [record["id"]]


def test_a_machine_whose_model_cannot_be_pulled_is_ended(ec2: Hearth, machines: Machines, tmp_path: Path):
    outcome = ec2.read(paper(tmp_path, 1), "--model", "no-such-model")
    assert outcome.code == 1
    assert "reads with Tesseract, and cannot run the model" in outcome.json["error"]
    machines.wait(lambda: machines.running() == [])


def test_if_aws_is_unreachable_at_the_release_the_pages_are_kept_and_the_lease_expires(
    ec2: Hearth, aws: AwsFront, prefect: PrefectServer, machines: Machines, held: Path, tmp_path: Path
):
    reading, machine = halfway(ec2, machines, paper(tmp_path, 16, "leased"), held)

    def told(what: str) -> bool:
        shown = prefect("artifacts", artifacts={"key": {"any_": ["hearth-leased-servers"]}})
        return any(machine.id in each["data"] and what in each["data"] for each in shown)

    machines.wait(lambda: told("slots, until ") and told("to be looked at in "))
    aws.down()
    held.unlink()
    outcome = reading.ended()
    complete(outcome, 16)
    assert "could not be given back" in outcome.err
    assert told("is left to its lease's end")


def test_a_missing_permission_is_reported_in_one_line_and_no_machine_is_launched(
    ec2: Hearth, aws: AwsFront, machines: Machines, tmp_path: Path
):
    aws.inject(denied(), "CreateFleet", times=None)
    outcome = ec2.read(paper(tmp_path, 1))
    assert outcome.code == 1
    assert "AWS does not permit CreateFleet" in outcome.json["error"]
    assert machines.instances() == {}


def test_two_simultaneous_commands_share_one_machine(ec2: Hearth, machines: Machines, tmp_path: Path):
    machines.plan = Plan(engine_s=0.1)
    one, other = Reading(ec2, paper(tmp_path, 6)), Reading(ec2, paper(tmp_path, 6, "other"))
    complete(one.ended(), 6)
    complete(other.ended(), 6)
    assert len(machines.instances()) == 1
