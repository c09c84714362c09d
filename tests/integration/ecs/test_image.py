"""A run checks that the image of the tasks exists before it requests machines that would wait for it in vain."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tasks.backends.ecs.backend import EcsBackend
from tasks.core.errors import CloudError
from tasks.core.events import Event, RunWarning, subscribe
from tasks.settings.ecs import EcsSettings
from tasks.settings.settings import Settings
from tests.support.aws.faults import error
from tests.support.aws.front import AwsFront
from tests.support.ecs.balancer import Balancer
from tests.support.ecs.world import SERVICE, World
from tests.support.infra.container_images import push_image
from tests.support.waiting import until_async

pytestmark = pytest.mark.long("starts tasks for each test: 2 s")

SETTINGS = Settings(
    ecs=EcsSettings(poll_seconds=0.05, start_seconds=36_000, lease_seconds=36_000, gone_seconds=36_000)  # type: ignore[call-arg]
)
REPOSITORY = f"123456789012.dkr.ecr.us-east-1.amazonaws.com/{SERVICE}"
TAG = "0123456789ab"


@pytest.fixture
def service(aws: AwsFront, tmp_path: Path) -> World:
    world = World(aws, Balancer("http://127.0.0.1:9"), tmp_path)
    world.more_outputs = {"Repository": REPOSITORY, "ImageTag": TAG}
    world.make()
    return world


async def asked_for_tasks(service: World) -> None:
    """See that a run gets to the point where machines are paid for."""
    acquiring = asyncio.create_task(EcsBackend(SETTINGS).acquire(4, "a test", 2))
    try:
        await until_async(lambda: service.desired == 2 or acquiring.done())
        assert service.desired == 2
    finally:
        acquiring.cancel()
        await asyncio.gather(acquiring, return_exceptions=True)


async def test_without_an_image_no_task_is_requested(service: World):
    with pytest.raises(CloudError, match=rf"have no image: {REPOSITORY}:{TAG} was not pushed.*hearth infra up ecs"):
        await EcsBackend(SETTINGS).acquire(4, "a test", 2)
    assert service.desired == 0


async def test_with_an_image_tasks_are_requested(service: World):
    push_image(f"{REPOSITORY}:{TAG}", client=service.aws.behind("ecr"))
    await asked_for_tasks(service)


async def test_a_run_without_permission_to_check_reads_with_a_warning(service: World):
    service.aws.inject(error("AccessDeniedException"), "DescribeImages", times=None)
    heard: list[Event] = []
    with subscribe(heard.append):
        await asked_for_tasks(service)
    assert any(
        isinstance(event, RunWarning) and "whether tasks have an image failed" in event.message for event in heard
    )
