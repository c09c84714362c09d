"""Whatever AWS would refuse later is refused before anything is created, with the setting to change."""

from __future__ import annotations

from typing import Any

import pytest

from infra_scripts.common.errors import RequestError
from infra_scripts.common.network import base_image, check_balancer_subnets, check_disk_size, network
from infra_scripts.ec2 import deploy as ec2
from infra_scripts.ecs import deploy as ecs
from infra_scripts.trigger import deploy as trigger
from infra_scripts.trigger.upload_trigger import TriggerStack
from tests.support.infra.fixtures import BASE_PARAMETER, Cloud
from tests.support.infra.pools import pool
from tests.support.infra.services import service

SETTING = "HEARTH_SOME__SETTING"


def image(cloud: Cloud, gb: int) -> str:
    """FILLED: moto forgets how large an image's disk is; here each has so much."""

    def sized(parsed: dict[str, Any], **_: object) -> None:
        for found in parsed.get("Images", []):
            found["RootDeviceName"] = "/dev/sda1"
            found["BlockDeviceMappings"] = [{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": gb}}]

    cloud.on("after-call", "DescribeImages", sized)
    ami = cloud.aws.ec2.register_image(Name=f"base-{gb}", RootDeviceName="/dev/sda1")
    cloud.aws.ssm.put_parameter(Name=BASE_PARAMETER, Value=ami["ImageId"], Type="String", Overwrite=True)
    return ami["ImageId"]


def stacks(cloud: Cloud) -> list[str]:
    found = cloud.aws.cloudformation.list_stacks(StackStatusFilter=["CREATE_COMPLETE"])["StackSummaries"]
    return [stack["StackName"] for stack in found]


class TestDisk:
    """`disk_gb` against the snapshot of the image: EC2 launches nothing on a smaller disk."""

    def test_a_disk_smaller_than_the_image_is_refused_before_the_stack(self, cloud: Cloud):
        image(cloud, 120)
        with pytest.raises(RequestError, match=r"the disk only 100 GB.*DISK_GB to at least 120"):
            ec2.up(cloud.aws, pool(disk_gb=100), cloud.listen, poll_seconds=0.02)
        assert stacks(cloud) == []

    def test_a_disk_as_large_as_the_image_is_accepted_and_a_smaller_one_is_not(self, cloud: Cloud):
        found = image(cloud, 120)
        with pytest.raises(RequestError, match=SETTING):
            check_disk_size(cloud.aws, found, 119, SETTING)
        check_disk_size(cloud.aws, found, 120, SETTING)

    def test_the_disk_of_an_ecs_machine_is_checked_with_its_own_setting(self, cloud: Cloud):
        image(cloud, 120)
        with pytest.raises(RequestError, match="HEARTH_ECS_STACK__DISK_GB"):
            ecs.up(cloud.aws, service(disk_gb=100), cloud.listen, poll_seconds=0.02)

    def test_the_deep_learning_image_is_known_to_need_100_gb(self):
        parameter = "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-24.04/latest/ami-id"
        with pytest.raises(RequestError, match="HEARTH_EC2_STACK__DISK_GB"):
            pool(base_ami_parameter=parameter, disk_gb=99)
        pool(base_ami_parameter=parameter, disk_gb=100)


class TestBalancer:
    """A load balancer is in two zones at least, and in each once."""

    def subnets(self, cloud: Cloud, *zones: str) -> tuple[str, ...]:
        vpc = cloud.aws.ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
        made = [
            cloud.aws.ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.9.{at}.0/24", AvailabilityZone=f"us-east-1{zone}")
            for at, zone in enumerate(zones)
        ]
        return tuple(one["Subnet"]["SubnetId"] for one in made)

    @pytest.mark.parametrize("zones", [("a",), ("a", "a")])
    def test_one_zone_is_refused(self, cloud: Cloud, zones: tuple[str, ...]):
        with pytest.raises(RequestError, match=r"two zones.*HEARTH_ECS_STACK__SUBNETS"):
            ecs.up(cloud.aws, service(subnets=self.subnets(cloud, *zones)), cloud.listen, poll_seconds=0.02)
        assert stacks(cloud) == []

    def test_two_zones_are_enough_and_two_subnets_of_one_too_many(self, cloud: Cloud):
        subnets = self.subnets(cloud, "a", "b", "a")
        check_balancer_subnets(cloud.aws, subnets[:2], SETTING)
        with pytest.raises(RequestError, match=f"us-east-1a.*{SETTING}"):
            check_balancer_subnets(cloud.aws, subnets, SETTING)


class TestSetting:
    """An error names the setting of the stack that is deployed, not of another."""

    def test_an_unknown_image_parameter_names_the_setting_of_its_stack(self, cloud: Cloud):
        with pytest.raises(RequestError, match=r"HEARTH_ECS_STACK__AMI_PARAMETER.*made for ECS"):
            ecs.up(cloud.aws, service(ami_parameter="/no/such"), cloud.listen, poll_seconds=0.02)
        with pytest.raises(RequestError, match="HEARTH_EC2_STACK__BASE_AMI_PARAMETER"):
            ec2.up(cloud.aws, pool(base_ami_parameter="/no/such"), cloud.listen, poll_seconds=0.02)
        with pytest.raises(RequestError, match=f"{SETTING} to one that names a thing"):
            base_image(cloud.aws, "/no/such", SETTING, "a thing")

    def test_missing_subnets_name_the_setting_of_their_stack(self, cloud: Cloud):
        for vpc in cloud.aws.ec2.describe_vpcs()["Vpcs"]:
            for subnet in cloud.aws.ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}])[
                "Subnets"
            ]:
                cloud.aws.ec2.delete_subnet(SubnetId=subnet["SubnetId"])
            cloud.aws.ec2.delete_vpc(VpcId=vpc["VpcId"])
        given = TriggerStack(
            pool="default", region="us-east-1", output="s3://results/read", bucket="uploads", image="hearth:1"
        )
        for stack, setting in ((service(), SETTING), (pool(), SETTING)):
            with pytest.raises(RequestError, match=setting):
                network(cloud.aws, stack.subnets, setting)
        with pytest.raises(RequestError, match="HEARTH_TRIGGER__SUBNETS"):
            trigger.up(cloud.aws, given, cloud.listen, poll_seconds=0.02)
        with pytest.raises(RequestError, match="HEARTH_ECS_STACK__SUBNETS"):
            ecs.up(cloud.aws, service(), cloud.listen, poll_seconds=0.02)
