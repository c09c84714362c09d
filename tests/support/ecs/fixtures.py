"""The ECS service for tests: moto's control plane, and tasks and a load balancer that really answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.aws.front import AwsFront
from tests.support.commands import Hearth
from tests.support.ecs.world import SLOTS, World, ecs_world


@pytest.fixture
def world(aws: AwsFront, tmp_path: Path) -> Iterator[World]:
    with ecs_world(aws, tmp_path / "ecs") as made:
        yield made


@pytest.fixture
def ecs(hearth: Hearth, aws: AwsFront, world: World) -> Hearth:
    """The command, on ECS, with quick polls."""
    settings = {
        "HEARTH_BACKEND": "ecs",
        "HEARTH_MODEL": "tesseract:eng",
        "HEARTH_ECS__POLL_SECONDS": "0.3",
        "HEARTH_ECS__LEASE_SECONDS": "36000",
        "HEARTH_ECS__START_SECONDS": "36000",
        "HEARTH_ECS__GONE_SECONDS": "36000",
        "HEARTH_ECS_STACK__SLOTS": str(SLOTS),
        "HEARTH_ECS_STACK__PAGES_PER_SLOT": "10",
    }
    return Hearth(hearth.directory, {**hearth.environment, **aws.environment, **settings})
