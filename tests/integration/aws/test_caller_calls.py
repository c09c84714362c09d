"""Every call of a run is allowed by the caller's policy: by its action, its resource and its conditions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from flows.stacks.registry import StackName
from infra_scripts.common.policy import PolicyName, policy
from tasks.backends.ecs.backend import EcsBackend
from tasks.backends.sagemaker.backend import SagemakerBackend
from tasks.settings.sagemaker import SagemakerSettings, SagemakerStackSettings
from tasks.settings.settings import Settings
from tests.integration.ec2.test_caller_policy import machine_life
from tests.integration.ecs.test_backend import SETTINGS, warm
from tests.support.aws.container import MODEL, container
from tests.support.aws.endpoints import make_endpoint
from tests.support.aws.front import AwsFront
from tests.support.aws.machines import Machines
from tests.support.aws.pool import Pool
from tests.support.aws.wire import REGION
from tests.support.ecs.balancer import Balancer
from tests.support.ecs.world import World
from tests.support.iam.calls import ACCOUNT, permissions
from tests.support.iam.evaluation import allows, denied

pytestmark = pytest.mark.long("follows a machine's life call by call: 7 to 12 s")


def refused(aws: AwsFront, stack: StackName) -> list[str]:
    """Return what of the recorded calls the caller's policy does not allow."""
    given = policy(PolicyName.CALLER, pool="default", account=ACCOUNT, region=REGION, stack=stack)
    asked = {permission: None for call in aws.calls for permission in permissions(call, "default", _owners(aws))}
    assert len({each.action for each in asked}) > 3
    return denied([given], asked)


def _owners(aws: AwsFront) -> dict[str, str]:
    pages = aws.behind("ec2").describe_instances()["Reservations"]
    return {
        one["InstanceId"]: tag["Value"]
        for page in pages
        for one in page["Instances"]
        for tag in one.get("Tags", [])
        if tag["Key"] == "hearth:pool"
    }


@pytest.mark.parametrize("market", ["spot", "on_demand"])
@pytest.mark.parametrize("access", ["private", "token", "tunnel"])
async def test_of_a_machine_from_its_launch_to_its_bill(
    aws: AwsFront, pools: Callable[..., Pool], machines: Machines, market: str, access: str
):
    pools(access=access, port=11435 if access == "token" else 11434)
    await machine_life(market)
    assert refused(aws, StackName.EC2) == []


async def test_a_machine_of_another_pool_may_not_be_ended(
    aws: AwsFront, pools: Callable[..., Pool], machines: Machines
):
    """The test can fail: the same calls, had they met another pool's machine, are refused."""
    pools()
    await machine_life("on_demand")
    given = policy(PolicyName.CALLER, pool="default", account=ACCOUNT, region=REGION, stack=StackName.EC2)
    others = dict.fromkeys(_owners(aws), "other")
    ends = [call for call in aws.calls if call.action in {"StopInstances", "TerminateInstances"}]
    assert ends
    for call in ends:
        assert not any(allows([given], each) for each in permissions(call, "default", others))


@pytest.mark.always
async def test_of_tasks_of_ecs(aws: AwsFront, tmp_path: Path):
    world = World(aws, Balancer("http://127.0.0.1:9"), tmp_path)
    world.make()
    warm(world, "10.0.0.1")
    backend = EcsBackend(SETTINGS)
    allocation = await backend.acquire(2, "a test", 1)
    await backend.release(allocation)
    assert refused(aws, StackName.ECS) == []


@pytest.mark.always
async def test_of_an_endpoint_of_sagemaker(aws: AwsFront, tmp_path: Path):
    with container(tmp_path, engine="echo") as served:
        make_endpoint(aws, served, copies=1)
        quick = SagemakerSettings(poll_seconds=0.05, follow_seconds=0.05, start_seconds=36_000)
        settings = Settings(model=MODEL, sagemaker=quick, sagemaker_stack=SagemakerStackSettings(slots=2))
        ec2 = settings.ec2.model_copy(update={"region": REGION})
        backend = SagemakerBackend(settings.model_copy(update={"ec2": ec2}))
        allocation = await backend.acquire(1, "a test")
        await backend.release(allocation)
    assert refused(aws, StackName.SAGEMAKER) == []
