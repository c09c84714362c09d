"""Where a trial reads its page: the cheapest machine of a stack, what it costs, and for how long dollars let it run."""

from __future__ import annotations

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

# What the removal takes, while which is paid for: EC2 is asked to end the machine at once, an endpoint and a service
# have their instances taken from them.
_REMOVAL_SECONDS = {StackName.EC2: 180.0, StackName.ECS: 600.0, StackName.SAGEMAKER: 900.0}
_LEAST_SECONDS = 600.0
"""No machine boots, loads a model and reads a page in less."""
_OF_MACHINES = 0.95
"""Share of the dollars; the rest is for what costs cents: a table, a log, a snapshot."""
_ECS_DISK_MB_S = 500
_FROM_ZERO = 2
"""Machines that ECS starts where there is none (https://aws.amazon.com/blogs/containers/ has its arithmetic)."""


@dataclass(frozen=True)
class Target:
    """What is tried.

    Attributes:
        settings: of the user, made as small as can be.
        environment: the same for the process that reads.
        kind: instance type.
        model: that reads.
        usd_per_hour: of all that runs, on demand, disk and address included.
        usd_at_launch: that are paid once, for filling the disk.
        work_seconds: for which it may go on before everything is removed.
        num_ctx: the context of each slot.
    """

    stack: StackName
    settings: Settings
    environment: dict[str, str]
    kind: str
    model: str
    usd_per_hour: float
    usd_at_launch: float
    work_seconds: float
    num_ctx: int
    read_options: dict[str, Any]


def target_of(stack: StackName, settings: Settings, region: str, max_usd: float, book: Book) -> Target:
    """Choose the cheapest machine, and work out how long it may run.

    Raises:
        InputError: the stack has no machines, its machine has no price, or the dollars are too few.
    """
    if stack not in _REMOVAL_SECONDS:
        raise InputError(f"The stack {stack} reads nothing on its own. Try what it reads on: hearth infra smoke ec2.")
    kind, hourly = _cheapest(stack, settings, region, book)
    launch = _at_launch(stack, settings, region, book)
    paid = max(0.0, max_usd * _OF_MACHINES - launch) / hourly * 3600
    removal = _REMOVAL_SECONDS[stack]
    if paid < removal + _LEAST_SECONDS:
        least = ((removal + _LEAST_SECONDS) / 3600 * hourly + launch) / _OF_MACHINES
        raise InputError(
            f"USD {max_usd:g} pay for {paid / 60:.0f} minutes of {kind}, too few to boot, read and remove it. "
            f"Allow at least USD {least + 0.005:.2f}; a boot without a baked image may take 20 minutes."
        )
    changed, environment = _small(stack, settings, kind, paid)
    model, slots, num_ctx = _served(stack, settings)
    options = {"--backend": stack.value, "--pages": "1", "--model": model, "--slots": slots, "--max-usd": max_usd}
    return Target(stack, changed, environment, kind, model, hourly, launch, paid - removal, num_ctx, options)


def _cheapest(stack: StackName, settings: Settings, region: str, book: Book) -> tuple[str, float]:
    """The type, and what all costs that one of it needs, USD per hour."""
    address = book.usd("ipv4", region)
    kinds: tuple[str, ...]
    if stack is StackName.SAGEMAKER:
        kinds, beside, count = (settings.sagemaker_stack.instance_type,), 0.0, 1
    elif stack is StackName.EC2:
        pool = settings.ec2_stack
        kinds, count = settings.ec2.types, 1
        beside = gp3_usd_per_hour(pool.disk_gb, pool.disk_throughput, region, book) + address
    else:
        if settings.ecs_stack.capacity is Capacity.FARGATE:
            raise InputError("Fargate tasks have no GPU to measure. Set HEARTH_ECS_STACK__CAPACITY=gpu.")
        kinds, count = settings.ecs_stack.types, _FROM_ZERO
        beside = gp3_usd_per_hour(settings.ecs_stack.disk_gb, _ECS_DISK_MB_S, region, book) + address
    priced = {kind: usd for kind in kinds if (usd := on_demand_usd_per_hour(kind, region, book)) is not None}
    if not priced:
        raise InputError(
            f"No price of {', '.join(kinds)} is known, so that --max-usd cannot be kept. "
            f"Ask AWS: hearth prices refresh --region {region} --type {kinds[0]}."
        )
    kind = min(priced, key=lambda each: priced[each])
    balancer = balancer_usd_per_hour(region, book) if stack is StackName.ECS else 0.0
    return kind, (priced[kind] + beside) * count + balancer


def _at_launch(stack: StackName, settings: Settings, region: str, book: Book) -> float:
    """What filling a new machine's disk costs, if that is paid for."""
    if stack is not StackName.EC2:
        return 0.0
    return initialization_usd(settings.ec2_stack.model_disk, settings.ec2_stack.disk_gb, region, book)


def _small(stack: StackName, settings: Settings, kind: str, paid_seconds: float) -> tuple[Settings, dict[str, str]]:
    """One machine of the type; on EC2 it ends itself when the dollars are spent."""
    if stack is StackName.EC2:
        pool = settings.ec2.model_copy(update={"types": (kind,), "machines": 1})
        made = settings.ec2_stack.model_copy(update={"lifetime_hours": paid_seconds / 3600})
        environment = {"HEARTH_EC2__TYPES": json.dumps([kind]), "HEARTH_EC2__MACHINES": "1"}
        return settings.model_copy(update={"ec2": pool, "ec2_stack": made}), environment
    if stack is StackName.ECS:
        service = settings.ecs_stack.model_copy(update={"types": (kind,), "max_tasks": 1})
        environment = {"HEARTH_ECS_STACK__MAX_TASKS": "1", "HEARTH_ECS__TASKS": "1"}
        return settings.model_copy(update={"ecs_stack": service}), environment
    endpoint = settings.sagemaker_stack.model_copy(update={"min_copies": 0, "max_copies": 1})
    return settings.model_copy(update={"sagemaker_stack": endpoint}), {}


def _served(stack: StackName, settings: Settings) -> tuple[str, int, int]:
    """The model, the slots and the context of each."""
    if stack is StackName.SAGEMAKER:
        endpoint = settings.sagemaker_stack
        return endpoint.models[0], endpoint.slots, endpoint.num_ctx
    made = settings.ec2_stack if stack is StackName.EC2 else settings.ecs_stack
    return made.model, made.slots, made.num_ctx
