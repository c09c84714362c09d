"""`hearth read` on EC2, end to end: every page once, whatever becomes of the machine."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.aws.faults import denied, hang
from tests.aws.front import AwsFront
from tests.aws.machine import Machine
from tests.aws.machines import Machines
from tests.aws.plan import Plan
from tests.aws.pool import Pool
from tests.commands import Hearth, Outcome
from tests.pdfs import written

PROBES = 16
"""Requests at most with which one warm-up measures."""


@pytest.fixture
def ec2(hearth: Hearth, aws: AwsFront, pool: Pool) -> Hearth:
    """The command, on EC2, with quick polls."""
    settings = {
        "HEARTH_BACKEND": "ec2",
        "HEARTH_MODEL": "tesseract:eng",
        "HEARTH_EC2__POLL_SECONDS": "0.2",
        "HEARTH_EC2__LEASE_SECONDS": "20",
        "HEARTH_READ__RETRY_SECONDS": "3",
    }
    return Hearth(hearth.directory, {**hearth.environment, **aws.environment, **settings})


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
        self._thread.join(100)
        assert self.outcome is not None
        return self.outcome


def halfway(ec2: Hearth, machines: Machines, document: Path) -> tuple[Reading, Machine]:
    """A run whose first machine has read a page."""
    reading = Reading(ec2, document)
    first = machines.one(60)
    machines.wait(lambda: len(first.read) > 4, 60)
    return reading, first


def pages_read(machines: Machines) -> Counter[str]:
    """How often each image was read, on all machines together; the probe of the measuring is left out."""
    read: Counter[str] = Counter()
    for machine in machines:
        read.update(machine.read)
    if read:
        probe, _ = read.most_common(1)[0]
        del read[probe]
    return read


def complete(outcome: Outcome, pages: int) -> None:
    assert outcome.code == 0, outcome.err
    assert [entry["status"] for entry in outcome.manifest["pages"]] == ["read"] * pages
    texts = {outcome.page(number)["text"] for number in range(1, pages + 1)}
    assert len(texts) == pages  # the engine answers each image with its digest


def test_a_pdf_is_read_on_a_machine_that_stays_warm_for_the_next(ec2: Hearth, machines: Machines, tmp_path: Path):
    machines.plan = Plan(boot_s=1)
    first = ec2.read(paper(tmp_path, 5))
    complete(first, 5)
    (record,) = first.manifest["machines"]
    assert record["kind"] == "g4dn.xlarge spot in us-east-1a"
    assert record["usd"] is not None
    second = ec2.read(paper(tmp_path, 2, "other"))
    complete(second, 2)
    assert machines.running() == [second.manifest["machines"][0]["id"]] == [record["id"]]


def test_after_an_interruption_notice_the_run_goes_on_with_another_machine_and_reads_every_page_once(
    ec2: Hearth, machines: Machines, tmp_path: Path
):
    machines.plan = Plan(engine_s=0.3)
    reading, first = halfway(ec2, machines, paper(tmp_path, 30))
    machines.interrupt(first, after=60)
    outcome = reading.ended()
    complete(outcome, 30)
    left, other = outcome.manifest["machines"]
    assert left["id"] == first.id
    assert other["id"] != first.id
    assert "marked-for-termination" in left["ended"]
    assert set(pages_read(machines).values()) == {1}


def test_when_its_machine_vanishes_the_pages_in_flight_are_read_again_elsewhere(
    ec2: Hearth, machines: Machines, tmp_path: Path
):
    machines.plan = Plan(engine_s=0.3)
    reading, first = halfway(ec2, machines, paper(tmp_path, 20))
    machines.vanish(first)
    outcome = reading.ended()
    complete(outcome, 20)
    again = [count for count in pages_read(machines).values() if count > 1]
    assert len(again) <= 2  # its slots
    interrupted = [entry for entry in outcome.manifest["pages"] if len(entry["attempts"]) > 1]
    assert {entry["attempts"][0]["reason"] for entry in interrupted} <= {"interrupted"}


def test_when_ollama_dies_on_a_running_machine_another_is_taken_and_the_broken_one_ended(
    ec2: Hearth, machines: Machines, tmp_path: Path
):
    machines.plan = Plan(engine_s=0.3)
    reading, first = halfway(ec2, machines, paper(tmp_path, 12))
    first.crash()
    outcome = reading.ended()
    complete(outcome, 12)
    assert machines.running() == [outcome.manifest["machines"][-1]["id"]] != [first.id]


def test_a_machine_whose_model_cannot_be_had_is_ended(ec2: Hearth, machines: Machines, tmp_path: Path):
    outcome = ec2.read(paper(tmp_path, 1), "--model", "no-such-model")
    assert outcome.code == 1
    assert "cannot be pulled" in outcome.json["error"]
    machines.wait(lambda: machines.running() == [])


def test_with_aws_out_of_reach_at_release_the_pages_stand_and_the_lease_ends_by_itself(
    ec2: Hearth, aws: AwsFront, machines: Machines, tmp_path: Path
):
    machines.plan = Plan(engine_s=0.2)
    reading, _ = halfway(ec2, machines, paper(tmp_path, 12))
    aws.down()
    outcome = reading.ended()
    complete(outcome, 12)
    assert "could not be given back" in outcome.err


def test_a_missing_permission_ends_the_command_with_one_line_and_no_machine(
    ec2: Hearth, aws: AwsFront, machines: Machines, tmp_path: Path
):
    aws.inject(denied(), "CreateFleet", times=None)
    outcome = ec2.read(paper(tmp_path, 1))
    assert outcome.code == 1
    assert "AWS does not permit CreateFleet" in outcome.json["error"]
    assert machines.instances() == {}


def test_two_commands_at_once_share_one_machine(ec2: Hearth, machines: Machines, tmp_path: Path):
    machines.plan = Plan(boot_s=1, engine_s=0.1)
    one, other = Reading(ec2, paper(tmp_path, 6)), Reading(ec2, paper(tmp_path, 6, "other"))
    complete(one.ended(), 6)
    complete(other.ended(), 6)
    assert len(machines.instances()) == 1


def test_with_prefect_s_server_gone_the_document_is_finished_and_the_machine_given_back(
    ec2: Hearth, aws: AwsFront, machines: Machines, tmp_path: Path
):
    home = tmp_path / "home"
    own = Hearth(ec2.directory, {**ec2.environment, "HEARTH_HOME": str(home), "PREFECT_HOME": str(home / "prefect")})
    machines.plan = Plan(engine_s=0.3)
    reading, first = halfway(own, machines, paper(tmp_path, 12))
    (record,) = home.glob("servers/prefect-*/server.json")
    os.kill(json.loads(record.read_text())["server_pid"], signal.SIGKILL)
    outcome = reading.ended()
    complete(outcome, 12)
    assert "Prefect's server does not answer" in outcome.err
    item = aws.behind("dynamodb").get_item(TableName="hearth-default", Key={"id": {"S": first.id}})["Item"]
    assert item["leases"]["M"] == {}


def test_machines_that_go_before_a_page_is_read_are_not_launched_for_ever(
    ec2: Hearth, machines: Machines, tmp_path: Path
):
    machines.plan = Plan(boot_s=1, engine_s=0.3)
    reading = Reading(ec2, paper(tmp_path, 30))
    told: set[str] = set()
    while reading.outcome is None:
        for machine in [each for each in machines if each.id not in told]:
            machines.tag(machine, "hearth:notice", "2099-01-01T00:00:00Z lifetime")
            told.add(machine.id)
        time.sleep(0.05)
    outcome = reading.ended()
    assert outcome.code == 1
    assert "No machine stays for long enough" in outcome.json["error"]
    assert len(machines.instances()) <= 4


def test_interrupted_while_aws_hangs_the_command_ends_soon(
    ec2: Hearth, aws: AwsFront, machines: Machines, tmp_path: Path
):
    machines.plan = Plan(engine_s=0.5)
    process = ec2.start("read", paper(tmp_path, 40), "--json")
    first = machines.one(60)
    machines.wait(lambda: len(first.read) > 4, 60)
    aws.down(hang())
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=80)
    assert process.returncode == 130, out + err
