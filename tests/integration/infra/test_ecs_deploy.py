"""The ECS service's stack, created and removed on moto's server, which starts no task."""

from typing import Any

import pytest

from infra_scripts.common.cloudformation import Change
from infra_scripts.common.errors import InUseError, LeftoverError, RequestError
from infra_scripts.common.policy import PolicyName, policy
from infra_scripts.ecs.deploy import down, status, up
from tests.integration.infra.test_policies import UNCHECKED, allows
from tests.support.infra.fixtures import Cloud
from tests.support.infra.services import service

POLL = 0.02
NAME = "hearth-ecs-default"


def client(cloud: Cloud, name: str) -> Any:
    return cloud.aws.session.client(name, config=cloud.aws.config)


def launch(cloud: Cloud) -> str:
    """A machine of the group, as ECS would have it launched."""
    made = cloud.aws.ec2.run_instances(
        ImageId=cloud.base_image(),
        InstanceType="g4dn.xlarge",
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "hearth:ecs", "Value": "default"}]}],
    )
    return made["Instances"][0]["InstanceId"]


def test_the_stack_is_created_shown_and_removed(cloud: Cloud):
    made = up(cloud.aws, service(), cloud.listen, poll_seconds=POLL)
    assert made.change is Change.CREATED
    (group,) = client(cloud, "autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[NAME])[
        "AutoScalingGroups"
    ]
    assert (group["MinSize"], group["DesiredCapacity"], group["MaxSize"]) == (0, 0, 4)

    found = status(cloud.aws, "default")
    assert found.state == "CREATE_COMPLETE"
    facts = dict(found.facts)
    assert (facts["tasks"], facts["machines"]) == ("0 running, 0 wanted", "none")
    assert facts["image"].endswith(f"{NAME}:{service().image_tag}")

    down(cloud.aws, "default", cloud.listen, force=False, poll_seconds=POLL)
    assert status(cloud.aws, "default").state is None
    assert not client(cloud, "elbv2").describe_load_balancers()["LoadBalancers"]
    down(cloud.aws, "default", cloud.listen, force=False, poll_seconds=POLL)  # again is no error


def test_a_service_in_use_is_removed_only_with_force(cloud: Cloud):
    up(cloud.aws, service(), cloud.listen, poll_seconds=POLL)
    ecs = client(cloud, "ecs")
    ecs.update_service(cluster=NAME, service=NAME, desiredCount=2)
    with pytest.raises(InUseError, match="2 are requested"):
        down(cloud.aws, "default", cloud.listen, force=False, poll_seconds=POLL)
    assert status(cloud.aws, "default").state == "CREATE_COMPLETE"
    down(cloud.aws, "default", cloud.listen, force=True, poll_seconds=POLL)
    assert status(cloud.aws, "default").state is None


def test_a_leftover_machine_is_named(cloud: Cloud, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("infra_scripts.ecs.deploy.LOOKS", 2)
    machine = launch(cloud)
    with pytest.raises(LeftoverError, match=machine):
        down(cloud.aws, "default", cloud.listen, force=False, poll_seconds=POLL)


def test_on_fargate_there_are_no_machines(cloud: Cloud):
    up(cloud.aws, service(capacity="fargate"), cloud.listen, poll_seconds=POLL)
    assert not client(cloud, "autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    assert dict(status(cloud.aws, "default").facts)["machines"] == "none"


def test_without_the_machine_image_the_error_names_the_parameter(cloud: Cloud):
    with pytest.raises(RequestError, match="/no/such"):
        up(cloud.aws, service(ami_parameter="/no/such"), cloud.listen, poll_seconds=POLL)


def test_the_deployers_policy_allows_every_call(cloud: Cloud):
    document = policy(PolicyName.DEPLOYER, pool="default", account="123456789012", region="us-east-1", stack="ecs")
    up(cloud.aws, service(), cloud.listen, poll_seconds=POLL)
    down(cloud.aws, "default", cloud.listen, force=False, poll_seconds=POLL)
    asked = {f"{kind}:{name}" for kind, name in cloud.calls if name not in UNCHECKED}
    # Asked by clients of its own, which the fixture does not hear.
    asked |= {"ecs:DescribeServices", "ecs:UpdateService", "autoscaling:UpdateAutoScalingGroup"}
    assert "cloudformation:CreateStack" in asked
    assert not [action for action in sorted(asked) if not allows(document, action)]
