"""`hearth read` on EC2: each page is read once, whatever happens to the machine, Prefect or the command."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.aws.faults import hang
from tests.support.aws.front import AwsFront
from tests.support.aws.machines import Machines
from tests.support.aws.plan import Plan
from tests.support.aws.reading import complete, halfway, pages_read, paper
from tests.support.commands import Hearth
from tests.support.prefect_home import seed
from tests.support.waiting import PATIENCE


def test_after_an_interruption_notice_the_run_continues_on_another_machine_and_reads_every_page_once(
    ec2: Hearth, aws: AwsFront, machines: Machines, held: Path, tmp_path: Path
):
    reading, first = halfway(ec2, machines, paper(tmp_path, 30), held)
    machines.interrupt(first, after=36_000)
    looks = len(aws.called("DescribeSpotInstanceRequests"))
    machines.wait(lambda: len(aws.called("DescribeSpotInstanceRequests")) > looks + 1)  # the run has heard of it
    held.unlink()
    outcome = reading.ended()
    complete(outcome, 30)
    left, other = outcome.manifest["machines"]
    assert left["id"] == first.id
    assert other["id"] != first.id
    assert "marked-for-termination" in left["ended"]
    assert set(pages_read(machines).values()) == {1}


@pytest.mark.long("takes 13 s; an interruption notice goes the same way")
def test_pages_in_flight_on_a_vanished_machine_are_read_again_on_another(
    ec2: Hearth, machines: Machines, held: Path, tmp_path: Path
):
    reading, first = halfway(ec2, machines, paper(tmp_path, 20), held)
    machines.vanish(first)
    held.unlink()
    outcome = reading.ended()
    complete(outcome, 20)
    again = [count for count in pages_read(machines).values() if count > 1]
    assert len(again) <= 2  # its slots
    interrupted = [entry for entry in outcome.manifest["pages"] if len(entry["attempts"]) > 1]
    assert {entry["attempts"][0]["reason"] for entry in interrupted} <= {"interrupted", "unavailable"}


@pytest.mark.long("takes 17 s; an interruption notice goes the same way")
def test_a_machine_whose_ollama_died_is_replaced_and_ended(ec2: Hearth, machines: Machines, held: Path, tmp_path: Path):
    reading, first = halfway(ec2, machines, paper(tmp_path, 12), held)
    first.crash()
    held.unlink()
    outcome = reading.ended()
    complete(outcome, 12)
    assert machines.running() == [outcome.manifest["machines"][-1]["id"]] != [first.id]


@pytest.fixture
def own(ec2: Hearth, tmp_path: Path) -> Iterator[Hearth]:
    """The command with a Prefect server of its own, which a run starts anew if it is killed; it ends with the test."""
    home = tmp_path / "home"
    settings = {"HEARTH_HOME": str(home), "PREFECT_HOME": str(seed(home / "prefect")), "PREFECT_API_URL": ""}
    command = Hearth(ec2.directory, {**ec2.environment, **settings})
    yield command
    command("stop", "--force")


def kill_prefect(own: Hearth) -> None:
    (record,) = Path(own.environment["HEARTH_HOME"]).glob("servers/prefect-*/server.json")
    os.kill(json.loads(record.read_text())["server_pid"], signal.SIGKILL)


@pytest.mark.long("starts a Prefect server")
def test_after_prefects_server_was_killed_the_document_is_completed_and_the_machine_released(
    own: Hearth, aws: AwsFront, machines: Machines, held: Path, tmp_path: Path
):
    reading, first = halfway(own, machines, paper(tmp_path, 12), held)
    kill_prefect(own)
    held.unlink()
    outcome = reading.ended()
    complete(outcome, 12)
    item = aws.behind("dynamodb").get_item(TableName="hearth-default", Key={"id": {"S": first.id}})["Item"]
    assert item["leases"]["M"] == {}


@pytest.mark.long("starts a Prefect server")
@pytest.mark.parametrize("count", ["1", "2"])
def test_the_command_ends_if_machines_aws_and_prefect_are_all_gone(
    own: Hearth, aws: AwsFront, machines: Machines, tmp_path: Path, count: str
):
    machines.plan = Plan(engine_s=0.5)
    process = own.start("read", paper(tmp_path, 60), "--json", HEARTH_EC2__MACHINES=count)
    first = machines.one()
    machines.wait(lambda: len(first.read) > 3)
    kill_prefect(own)
    for machine in machines:
        machine.crash()
    aws.down()
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1, out + err


@pytest.mark.long("launches three machines, one after the other")
def test_machines_that_vanish_before_any_page_are_not_replaced_for_ever(
    ec2: Hearth, machines: Machines, held: Path, tmp_path: Path
):
    held.write_text("0")
    machines.plan = Plan(engine="tests.support.ecs.engines:held")
    machines.tag_new("hearth:notice", "2099-01-01T00:00:00Z lifetime")
    outcome = ec2.read(paper(tmp_path, 2))
    assert outcome.code == 1
    assert "No machine stays for long enough" in outcome.json["error"]
    assert len(machines.instances()) <= 4


@pytest.mark.long("waits for AWS in vain")
def test_an_interrupted_command_ends_soon_even_if_aws_hangs(
    ec2: Hearth, aws: AwsFront, machines: Machines, tmp_path: Path
):
    machines.plan = Plan(engine_s=0.5)
    process = ec2.start("read", paper(tmp_path, 40), "--json")
    first = machines.one()
    machines.wait(lambda: len(first.read) > 3)
    aws.down(hang())
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, out + err
