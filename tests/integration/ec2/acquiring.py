"""A backend with quick polls, and the machine that it acquires."""

from __future__ import annotations

from typing import Any

from tasks.backends.base import Allocation
from tasks.backends.ec2.backend import Ec2Backend
from tasks.settings.settings import Settings
from tests.support.aws.front import AwsFront
from tests.support.waiting import PATIENCE


def backend(**changed: Any) -> Ec2Backend:
    """Make the backend with quick polls; nothing expires while a test lasts."""
    ec2 = {"poll_seconds": 0.1, "lease_seconds": 36_000, "boot_seconds": 36_000, "start_seconds": 36_000} | changed
    idle = ec2.pop("idle_minutes", 600)
    warm = {"answer_seconds": ec2.pop("answer_seconds", PATIENCE)}
    return Ec2Backend(Settings(ec2=ec2, idle_minutes=idle, warm=warm))


async def acquired(**changed: Any) -> tuple[Ec2Backend, Allocation]:
    used = backend(**changed)
    return used, await used.acquire(2, "paper on desk")


def leases(aws: AwsFront, machine: str) -> dict[str, Any]:
    item = aws.behind("dynamodb").get_item(TableName="hearth-default", Key={"id": {"S": machine}})["Item"]
    return item["leases"]["M"]
