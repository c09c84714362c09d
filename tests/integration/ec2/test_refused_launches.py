"""Launches that a new account refuses, and models that load slowly from a volume made of a snapshot."""

from __future__ import annotations

from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tasks.backends.ec2.backend import Ec2Backend
from tasks.core.errors import CloudError
from tasks.settings.settings import Settings
from tests.support.aws.capacity import PROFILE
from tests.support.aws.front import AwsFront
from tests.support.aws.launches import fleet, launch
from tests.support.aws.machines import Machines
from tests.support.aws.plan import Plan
from tests.support.aws.pool import Pool
from tests.support.aws.reading import complete, paper
from tests.support.commands import Hearth


async def test_spot_without_its_service_linked_role_is_refused_with_the_reason(aws: AwsFront, pool: Pool):
    aws.capacity.no_spot_role()
    ec2 = {"poll_seconds": 0.1, "spot_policy": "spot", "capacity_seconds": 1}
    with pytest.raises(CloudError, match="service-linked role"):
        await Ec2Backend(Settings(ec2=ec2)).acquire(2, "paper on desk")


def test_an_instance_profile_is_unknown_for_a_while_after_its_creation(aws: AwsFront, pool: Pool, machines: Machines):
    aws.capacity.profile_unknown_for(3600)
    refused = fleet(aws, pool)
    assert refused["Instances"] == []
    assert {error["ErrorCode"] for error in refused["Errors"]} == {PROFILE}
    assert all("Invalid IAM Instance Profile name" in error["ErrorMessage"] for error in refused["Errors"])
    one = {"ImageId": pool.ami, "InstanceType": "g4dn.xlarge", "MinCount": 1, "MaxCount": 1}
    with pytest.raises(ClientError, match="Invalid IAM Instance Profile name"):
        aws.client("ec2").run_instances(**one, SubnetId=pool.subnets["a"])
    aws.capacity.profile_unknown_for(0)
    assert launch(aws, pool)


@pytest.mark.long("waits for a slow disk: 10 s")
def test_a_model_on_a_slow_disk_is_used_within_the_time_limit(ec2: Hearth, machines: Machines, tmp_path: Path):
    machines.plan = Plan(model_mb=40, disk_mb_s=20)
    outcome = ec2.read(paper(tmp_path, 1))
    complete(outcome, 1)


@pytest.mark.long("waits for a slow disk: 11 s")
def test_a_model_on_a_disk_that_is_too_slow_fails_the_run_at_the_time_limit(
    ec2: Hearth, machines: Machines, tmp_path: Path
):
    machines.plan = Plan(model_mb=6000, disk_mb_s=10)
    outcome = ec2.read(paper(tmp_path, 1), HEARTH_WARM__DEADLINE_SECONDS="4")
    assert outcome.code == 1
    assert "HEARTH_WARM__DEADLINE_SECONDS" in outcome.json["error"]


@pytest.mark.parametrize("megabytes_a_second", [10.0, 30.0])
def test_a_model_of_six_gigabytes_loads_from_an_unfilled_disk_within_the_usual_deadline(megabytes_a_second: float):
    limits = Settings().warm
    assert Plan(disk_mb_s=megabytes_a_second).load_s <= min(limits.load_seconds, limits.deadline_seconds)
