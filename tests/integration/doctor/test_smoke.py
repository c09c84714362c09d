"""`hearth infra smoke` on the harness's AWS: a page is read on a machine that answers, and nothing is left of it."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.support.aws.faults import error
from tests.support.aws.front import AwsFront
from tests.support.aws.machines import Machines
from tests.support.aws.plan import Plan
from tests.support.aws.pool import Network
from tests.support.commands import Hearth, Outcome
from tests.support.waiting import PATIENCE, until

PARAMETER = "/base/ami-id"
long = pytest.mark.long("a stack comes and goes, and a run between")
SMOKE = ("infra", "smoke", "ec2", "--allow-from", "127.0.0.0/8", "--yes", "--json")


@pytest.fixture
def smoke(hearth: Hearth, aws: AwsFront, network: Network, machines: Machines) -> Hearth:
    """The command, with the settings of a pool that is not deployed."""
    made = {"Name": "base", "Architecture": "x86_64", "RootDeviceName": "/dev/sda1", "VirtualizationType": "hvm"}
    ami = aws.behind("ec2").register_image(**made)["ImageId"]
    aws.behind("ssm").put_parameter(Name=PARAMETER, Value=ami, Type="String")
    settings = {
        "HEARTH_HOME": str(hearth.directory / "home"),
        "HEARTH_EC2__POLL_SECONDS": "0.2",
        "HEARTH_EC2__POOL": "smoke",
        "HEARTH_EC2_STACK__BASE_AMI_PARAMETER": PARAMETER,
        "HEARTH_EC2_STACK__MODEL": "tesseract:eng",
        "HEARTH_EC2_STACK__SLOTS": "2",
        "HEARTH_EC2_STACK__SUBNETS": json.dumps(list(network.subnets.values())),
        "HEARTH_READ__RETRY_SECONDS": "3",
    }
    return Hearth(hearth.directory, {**hearth.environment, **aws.environment, **settings})


def left(aws: AwsFront) -> set[str]:
    """What costs money, or would be in the way of the next trial."""
    found = {stack["StackName"] for stack in aws.client("cloudformation").describe_stacks()["Stacks"]}
    for reservation in aws.client("ec2").describe_instances()["Reservations"]:
        found |= {one["InstanceId"] for one in reservation["Instances"] if one["State"]["Name"] != "terminated"}
    found |= set(aws.client("dynamodb").list_tables()["TableNames"])
    return found


@long
def test_a_page_is_read_and_measured_and_nothing_is_left(smoke: Hearth, aws: AwsFront, machines: Machines):
    done = smoke(*SMOKE, "--max-usd", "1")
    assert done.code == 0, done.err
    told = done.json
    assert (told["read"], told["left"]) == (True, [])
    assert left(aws) == set()
    assert 0 < told["usd_at_most"] < 1
    measured = told["measured"]
    assert (measured["stack"], measured["instance_type"], measured["market"]) == ("ec2", "g4dn.xlarge", "spot")
    assert measured["boot_seconds"] > 0 < measured["page_seconds"]

    file = Path(told["file"]).read_text()
    account = aws.client("sts").get_caller_identity()["Account"]
    for own in (account, "127.", '"smoke', "arn:", '"i-', "oven", smoke.environment["AWS_ACCESS_KEY_ID"]):
        assert own not in file

    plan = smoke("plan", "--pages", "50", "--model", "tesseract:eng", "--json")
    assert plan.json["given"]["slots"] == measured["slots"]
    assert any("measured by `hearth infra smoke ec2` on g4dn.xlarge" in note for note in plan.json["notes"])


@pytest.mark.parametrize("budget", [(), ("--max-usd", "0"), ("--max-usd", "0.01")])
def test_without_dollars_enough_nothing_is_made(smoke: Hearth, aws: AwsFront, budget: tuple[str, ...]):
    done = smoke(*SMOKE, *budget)
    assert done.code == 2, done.err
    assert "--max-usd" in done.err or "USD" in done.err
    assert not aws.called("CreateStack")


@pytest.mark.long("deploys and runs the command: 13 s")
def test_a_pool_that_is_deployed_is_not_touched(smoke: Hearth, aws: AwsFront):
    assert smoke("infra", "up", "ec2", "--allow-from", "127.0.0.0/8", "--yes").code == 0
    done = smoke(*SMOKE, "--max-usd", "1")
    assert done.code == 2
    assert "is deployed" in done.err
    assert "hearth-smoke" in left(aws)


@long
def test_a_machine_that_fails_is_removed_with_all_the_rest(smoke: Hearth, aws: AwsFront, machines: Machines):
    machines.plan = Plan(fails="failed: pulling tesseract:eng")
    done = smoke(*SMOKE, "--max-usd", "1")
    assert done.code == 1
    assert (done.json["read"], done.json["left"]) == (False, [])
    assert left(aws) == set()


@long
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_so_is_one_of_a_trial_that_is_interrupted(
    smoke: Hearth, aws: AwsFront, machines: Machines, sent: signal.Signals
):
    machines.plan = Plan(answers=False)
    with smoke.start(*SMOKE, "--max-usd", "1") as process:
        until(lambda: len(list(machines)) > 0)
        process.send_signal(sent)
        out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, err
    assert json.loads(out)["left"] == []
    assert left(aws) == set()


@long
def test_what_cannot_be_removed_is_listed_and_told_by_the_exit_code(smoke: Hearth, aws: AwsFront):
    aws.inject(error("AccessDenied", status=403), "DeleteStack", times=None)
    done: Outcome = smoke(*SMOKE, "--max-usd", "1")
    assert done.code == 1
    assert any("hearth-smoke" in one for one in done.json["left"])
    assert done.json["read"] is True
