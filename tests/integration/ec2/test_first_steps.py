"""The first steps on EC2, from `hearth infra up` to `hearth infra down`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.settings.settings import Settings
from tests.support.aws.front import AwsFront
from tests.support.aws.machines import Machines
from tests.support.aws.plan import Plan
from tests.support.aws.pool import Network
from tests.support.commands import Hearth
from tests.support.pdfs import written

pytestmark = pytest.mark.long("deploys a pool, reads, and deletes it, by commands: 22 s")


def test_up_read_status_down(hearth: Hearth, aws: AwsFront, network: Network, machines: Machines, tmp_path: Path):
    image = aws.behind("ec2").register_image(
        Name="base", Architecture="x86_64", RootDeviceName="/dev/sda1", VirtualizationType="hvm"
    )["ImageId"]
    # The public parameter of AWS's own images, which moto lacks.
    base = Settings().ec2_stack.base_ami_parameter.replace("/aws/", "/public/")
    aws.behind("ssm").put_parameter(Name=base, Value=image, Type="String")
    subnets = ", ".join(f'"{subnet}"' for subnet in network.subnets.values())
    settings = {
        "HEARTH_BACKEND": "ec2",
        "HEARTH_MODEL": "tesseract:eng",
        "HEARTH_EC2__POLL_SECONDS": "0.2",
        "HEARTH_EC2_STACK__BASE_AMI_PARAMETER": base,
        "HEARTH_EC2_STACK__SUBNETS": f"[{subnets}]",
        "HEARTH_EC2_STACK__SLOTS": "2",
    }
    ec2 = Hearth(hearth.directory, {**hearth.environment, **aws.environment, **settings})
    machines.plan = Plan(boot_s=0.5)

    up = ec2("infra", "up", "ec2", "--allow-from", "10.0.0.0/16", "--yes")
    assert up.code == 0, up.err + up.out
    read = ec2.read(written(tmp_path / "a.pdf", "One.", "Two."))
    assert read.code == 0, read.err
    (name,) = machines.running()
    again = ec2("infra", "up", "ec2", "--allow-from", "10.0.0.0/16", "--yes")
    assert again.code == 0, again.err + again.out
    assert ec2.read(written(tmp_path / "b.pdf", "Three.")).manifest["machines"][0]["id"] == name
    refused = ec2("infra", "down", "ec2", "--yes")
    assert refused.code != 0
    assert name in refused.err + refused.out
    down = ec2("infra", "down", "ec2", "--force", "--yes")
    assert down.code == 0, down.err + down.out
    assert machines.running() == []
    assert aws.behind("cloudformation").list_stacks(StackStatusFilter=["CREATE_COMPLETE"])["StackSummaries"] == []
