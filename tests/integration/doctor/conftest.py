"""The doctor on an account of the harness's AWS."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from flows.cli.main import app
from tests.integration.doctor.findings import NETWORK, PARAMETER, Doctor, Seen
from tests.support.aws.account import Account, account_of
from tests.support.aws.front import AwsFront
from tests.support.aws.pool import Network


@pytest.fixture
def account(aws: AwsFront) -> Account:
    return account_of(aws)


@pytest.fixture
def image(aws: AwsFront) -> str:
    """The image that the parameter names."""
    made = {"Name": "base", "Architecture": "x86_64", "RootDeviceName": "/dev/sda1", "VirtualizationType": "hvm"}
    ami = aws.behind("ec2").register_image(**made)["ImageId"]
    aws.behind("ssm").put_parameter(Name=PARAMETER, Value=ami, Type="String")
    return str(ami)


@pytest.fixture
def doctor(account: Account, image: str, network: Network, monkeypatch: pytest.MonkeyPatch) -> Doctor:
    subnets = json.dumps(list(network.subnets.values()))
    for stack in ("EC2", "ECS"):
        monkeypatch.setenv(f"HEARTH_{stack}_STACK__SUBNETS", subnets)
    monkeypatch.setenv("HEARTH_TRIGGER__SUBNETS", subnets)
    monkeypatch.setenv("HEARTH_EC2_STACK__BASE_AMI_PARAMETER", PARAMETER)
    monkeypatch.setenv("HEARTH_ECS_STACK__AMI_PARAMETER", PARAMETER)

    def run(stack: str = "ec2", *arguments: str) -> Seen:
        allowed = ("--allow-from", NETWORK) if stack in {"ec2", "ecs"} else ()
        done = CliRunner().invoke(app, ["infra", "doctor", stack, "--json", *allowed, *arguments])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return Seen(done.exit_code, json.loads(done.stdout))

    return run
