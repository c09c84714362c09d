"""Machines really answer, really go away, and are told as EC2 tells them."""

from __future__ import annotations

import json
import time

import httpx
import pytest

from tests.support.aws.front import AwsFront
from tests.support.aws.launches import described, launch, state
from tests.support.aws.machines import Machines
from tests.support.aws.plan import Plan
from tests.support.aws.pool import Pool
from tests.support.aws.visits import ask, imds, of_instance, serving, tags

pytestmark = pytest.mark.long("tests the harness")


def test_a_launched_machine_serves_at_its_private_address(aws: AwsFront, pool: Pool, machines: Machines):
    machines.plan = Plan(slots=3)
    name = launch(aws, pool)
    machine = serving(machines)
    assert machine.id == name
    assert machine.url == f"http://{described(aws, name)[0]['PrivateIpAddress']}:11434"
    assert ask(machine)["response"]
    assert sum(machine.read.values()) == 1
    machines.wait(lambda: tags(aws, machine)["hearth:stage"] == "serving")
    assert machines.running() == [name]
    assert machines.seconds() > 0


def test_stopped_it_is_gone_and_started_it_is_there_again(aws: AwsFront, pool: Pool, machines: Machines):
    ec2 = aws.client("ec2")
    name = launch(aws, pool)
    machine = serving(machines)
    ec2.stop_instances(InstanceIds=[name])
    with pytest.raises(httpx.ConnectError):
        httpx.get(machine.url)
    assert machines.running() == []
    ec2.start_instances(InstanceIds=[name])
    machines.wait(lambda: machine.boots == 2 and machine.serving)
    assert httpx.get(machine.url).text == "Ollama is running"
    ec2.terminate_instances(InstanceIds=[name])
    with pytest.raises(httpx.ConnectError):
        httpx.get(machine.url)
    assert (machines.running(), machines.disks()) == ([], [])


def test_a_machine_boots_as_slowly_as_it_is_told(aws: AwsFront, pool: Pool, machines: Machines):
    aws.takes(pending=0.5)
    machines.next(Plan(boot_s=1, serves=False, stages=("installing", "pulling")), Plan(boot_s=1))
    machine = of_instance(machines, launch(aws, pool), serves=False)
    machines.wait(lambda: tags(aws, machine).get("hearth:stage") == "pulling")
    began = time.monotonic()
    of_instance(machines, launch(aws, pool))
    assert time.monotonic() - began >= 1.5


def test_machines_can_be_planned_one_by_one(aws: AwsFront, pool: Pool, machines: Machines):
    machines.next(Plan(serves=False), Plan(fails="failed: pulling"))
    names = [launch(aws, pool), launch(aws, pool, zones="b")]
    machines.wait(lambda: len(list(machines)) == 2)
    first, second = (machines[name] for name in names)
    machines.wait(lambda: tags(aws, second).get("hearth:stage") == "failed: pulling")
    assert not first.serving
    assert not second.serving
    assert first.address != second.address


def test_servers_hang_die_and_freeze(aws: AwsFront, pool: Pool, machines: Machines):
    machines.next(Plan(hangs_from=2), Plan(dies_at=2), Plan(answers=False), Plan())
    hanging, dying, mute, freezing = (of_instance(machines, launch(aws, pool)) for _ in range(4))
    for machine in (hanging, dying):
        assert ask(machine)["response"]
    with pytest.raises(httpx.TimeoutException):
        ask(hanging, timeout=0.3)
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        ask(dying)
    with pytest.raises(httpx.TimeoutException):
        httpx.get(mute.url, timeout=0.3)
    freezing.freeze()
    with pytest.raises(httpx.TimeoutException):
        httpx.get(freezing.url, timeout=0.3)
    freezing.thaw()
    assert ask(freezing)["response"]
    freezing.crash()
    with pytest.raises(httpx.ConnectError):
        ask(freezing)
    assert len(machines.running()) == 4


def test_a_model_can_be_missing_and_has_the_name_it_is_given(aws: AwsFront, pool: Pool, machines: Machines):
    machines.plan = Plan(pulled=False, pull_s=0.2, model="qwen2.5vl:7b")
    launch(aws, pool)
    machine = serving(machines)
    with pytest.raises(httpx.HTTPStatusError, match="404"):
        ask(machine)
    assert "success" in httpx.post(f"{machine.url}/api/pull", json={"model": "qwen2.5vl:7b"}).text
    assert ask(machine)["response"]


def test_an_interruption_is_announced_and_carried_out(aws: AwsFront, pool: Pool, machines: Machines):
    name = launch(aws, pool, "spot")
    machine = serving(machines)
    assert imds(machine, "spot/instance-action").status_code == 404
    when = machines.interrupt(machine, after=36_000)

    told = imds(machine, "spot/instance-action").json()
    assert told == {"action": "terminate", "time": f"{when:%Y-%m-%dT%H:%M:%SZ}"}
    ec2 = aws.client("ec2")
    assert (
        ec2.describe_spot_instance_requests()["SpotInstanceRequests"][0]["Status"]["Code"] == "marked-for-termination"
    )
    assert state(aws, name) == "running"
    assert ask(machine)["response"]

    machines.interrupt(machine, after=0.1)
    machines.wait(lambda: state(aws, name) == "terminated")
    assert described(aws, name)[0]["StateReason"]["Code"] == "Server.SpotInstanceTermination"
    (request,) = ec2.describe_spot_instance_requests()["SpotInstanceRequests"]
    assert (request["State"], request["Status"]["Code"]) == ("closed", "instance-terminated-no-capacity")
    with pytest.raises(httpx.ConnectError):
        httpx.get(machine.url)


def test_metadata_wants_a_token(aws: AwsFront, pool: Pool, machines: Machines):
    launch(aws, pool)
    machine = machines.one()
    assert httpx.get(f"{machine.metadata.url}/latest/meta-data/instance-id").status_code == 401
    assert imds(machine, "instance-id").text == machine.id
    role = imds(machine, "iam/security-credentials/").text
    assert json.loads(imds(machine, f"iam/security-credentials/{role}").text)["Token"]


def test_the_console_tells_what_the_machine_logged(aws: AwsFront, pool: Pool, machines: Machines):
    name = launch(aws, pool)
    serving(machines)
    assert "listening on" in aws.client("ec2").get_console_output(InstanceId=name)["Output"]
