"""Choose the machine of a smoke test: the cheapest type of a stack, with its cost and time limit."""

import json
from dataclasses import dataclass
from typing import Any

from flows.stacks.registry import StackName
from tasks.core.errors import InputError
from tasks.costs.disks import initialization_usd
from tasks.costs.price_book import Book
from tasks.costs.rates import balancer_usd_per_hour, gp3_usd_per_hour, on_demand_usd_per_hour
from tasks.settings.ecs import Capacity
from tasks.settings.settings import Settings

REMOVAL_SECONDS = {StackName.EC2: 180.0, StackName.ECS: 600.0, StackName.SAGEMAKER: 900.0}
"""Paid time of the removal. EC2 machines are terminated at once; services and endpoints take longer to scale in."""
_LEAST_SECONDS = 600.0
"""Shortest time in which a machine boots, loads a model and reads a page."""
_SHARE_OF_MACHINES = 0.95
"""Share of the budget; the rest covers small costs: a table, a log, a snapshot."""
_ECS_DISK_MB_S = 500
_FROM_ZERO = 2
"""Machines that ECS starts if there is none (https://aws.amazon.com/blogs/containers/ has its arithmetic)."""


@dataclass(frozen=True)
class Target:
    """The machine of a smoke test, and its limits.

    Attributes:
        settings: the user's settings, reduced to one machine.
        environment: the same reduction, for the process that reads the page.
        usd_per_hour: on-demand price of everything that runs, disk and address included.
        usd_at_launch: one-time price of filling the disk.
        work_seconds: time after which the removal begins.
        num_ctx: context of each slot, tokens.
        read_options: options of `hearth read`.
    """

    stack: StackName
    settings: Settings
    environment: dict[str, str]
    instance_type: str
    model: str
    usd_per_hour: float
    usd_at_launch: float
    work_seconds: float
    num_ctx: int
    read_options: dict[str, Any]


def target_of(stack: StackName, settings: Settings, region: str, max_usd: float, book: Book) -> Target:
    """Choose the cheapest instance type, and compute how long it may run.

    Raises:
        InputError: the stack has no machines, its instance types have no price, or the budget is too small.
    """
    if stack not in REMOVAL_SECONDS:
        raise InputError(f"The {stack} stack has no machines of its own. Test one that has: hearth infra smoke ec2")
    instance_type, hourly = _cheapest(stack, settings, region, book)
    disk, launch = settings.ec2_stack, 0.0
    if stack is StackName.EC2:
        launch = initialization_usd(disk.model_disk, disk.disk_gb, region, book)
    paid = max(0.0, max_usd * _SHARE_OF_MACHINES - launch) / hourly * 3600
    removal = REMOVAL_SECONDS[stack]
    if paid < removal + _LEAST_SECONDS:
        least = ((removal + _LEAST_SECONDS) / 3600 * hourly + launch) / _SHARE_OF_MACHINES
        raise InputError(
            f"USD {max_usd:g} pay for {paid / 60:.0f} minutes of {instance_type}, too few to boot, read and remove it. "
            f"Allow at least USD {least + 0.005:.2f}; a boot without a baked image may take 20 minutes."
        )
    model, slots, num_ctx = _served(stack, settings)
    reduced = _one_machine(stack, instance_type, paid)
    sections = {name: getattr(settings, name).model_copy(update=values) for name, values in reduced.items()}
    return Target(
        stack=stack,
        settings=settings.model_copy(update=sections),
        environment={
            f"HEARTH_{section}__{name}".upper(): json.dumps(value)
            for section, values in reduced.items()
            for name, value in values.items()
        },
        instance_type=instance_type,
        model=model,
        usd_per_hour=hourly,
        usd_at_launch=launch,
        work_seconds=paid - removal,
        num_ctx=num_ctx,
        read_options={
            **{"--backend": stack.value, "--pages": "1", "--model": model},
            **{"--slots": slots, "--max-usd": max_usd},
        },
    )


def _cheapest(stack: StackName, settings: Settings, region: str, book: Book) -> tuple[str, float]:
    """Return the cheapest instance type, and the price of everything that one of it needs, USD per hour."""
    pool, service = settings.ec2_stack, settings.ecs_stack
    address, balancer, count = book.usd("ipv4", region), 0.0, 1
    types: tuple[str, ...]
    if stack is StackName.SAGEMAKER:
        types, extra = (settings.sagemaker_stack.instance_type,), 0.0
    elif stack is StackName.EC2:
        types = settings.ec2.types
        extra = gp3_usd_per_hour(pool.disk_gb, pool.disk_throughput, region, book) + address
    else:
        if service.capacity is Capacity.FARGATE:
            raise InputError("Fargate tasks have no GPU to measure. Set HEARTH_ECS_STACK__CAPACITY=gpu.")
        types, count, balancer = service.types, _FROM_ZERO, balancer_usd_per_hour(region, book)
        extra = gp3_usd_per_hour(service.disk_gb, _ECS_DISK_MB_S, region, book) + address
    prices = {name: usd for name in types if (usd := on_demand_usd_per_hour(name, region, book)) is not None}
    if not prices:
        raise InputError(
            f"No price of {', '.join(types)} is known, so --max-usd cannot be enforced. "
            f"Ask AWS: hearth prices refresh --region {region} --type {types[0]}"
        )
    cheapest = min(prices, key=prices.__getitem__)
    return cheapest, (prices[cheapest] + extra) * count + balancer


def _one_machine(stack: StackName, instance_type: str, paid_seconds: float) -> dict[str, dict[str, Any]]:
    """Return the settings that allow one machine; on EC2 it ends itself when the budget is spent."""
    if stack is StackName.EC2:
        lifetime = {"lifetime_hours": paid_seconds / 3600}
        return {"ec2": {"types": (instance_type,), "machines": 1}, "ec2_stack": lifetime}
    if stack is StackName.ECS:
        return {"ecs_stack": {"types": (instance_type,), "max_tasks": 1}, "ecs": {"tasks": 1}}
    return {"sagemaker_stack": {"min_copies": 0, "max_copies": 1}}


def _served(stack: StackName, settings: Settings) -> tuple[str, int, int]:
    """Return the model, the slots, and the context of each slot in tokens."""
    if stack is StackName.SAGEMAKER:
        endpoint = settings.sagemaker_stack
        return endpoint.models[0], endpoint.slots, endpoint.num_ctx
    made = settings.ec2_stack if stack is StackName.EC2 else settings.ecs_stack
    return made.model, made.slots, made.num_ctx
