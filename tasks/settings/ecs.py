"""The settings of the ECS service: how runs use it, and what is deployed."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from tasks.core.jobs import Frozen


class EcsSettings(Frozen):
    """How runs use the ECS service of the pool; the pool's name and region are those of EC2."""

    tasks: int = Field(
        2,
        ge=1,
        le=64,
        description="Tasks that a run asks for when it begins, at the least; up to "
        "`HEARTH_ECS_STACK__MAX_TASKS` if each has `HEARTH_ECS_STACK__PAGES_PER_SLOT` pages for each of its slots.",
    )
    start_seconds: float = Field(
        1800, gt=0, description="From asking for tasks until the first is warm, machine and image included, seconds."
    )
    lease_seconds: float = Field(
        180, gt=0, description="How long the service counts as used by a run that died or lost AWS, seconds."
    )
    poll_seconds: float = Field(5, gt=0, description="How often ECS is asked which tasks serve, seconds.")
    gone_seconds: float = Field(
        120, gt=0, description="How long no task may serve before the run waits for the service anew, seconds."
    )


class Capacity(StrEnum):
    """Where tasks run."""

    GPU = "gpu"
    """EC2 machines with a GPU each, from an Auto Scaling group."""
    FARGATE = "fargate"
    """Fargate, which has no GPUs: for models that a CPU reads with."""


class EcsStackSettings(Frozen):
    """What `hearth infra up ecs` deploys."""

    capacity: Capacity = Field(
        Capacity.GPU, description="Where tasks run: gpu (EC2 machines with a GPU each), or fargate (CPU alone)."
    )
    types: tuple[str, ...] = Field(
        ("g4dn.xlarge", "g5.xlarge", "g6.xlarge"),
        min_length=1,
        description="Instance types with one GPU, the preferred one first (JSON list).",
    )
    on_demand_base: int = Field(
        1, ge=0, le=64, description="So many machines (or Fargate tasks) are on demand; spot is for those beyond."
    )
    on_demand_percent: int = Field(
        0, ge=0, le=100, description="Share of the machines (or Fargate tasks) beyond these that is on demand, too."
    )
    fargate_vcpu: int = Field(4, ge=1, le=16, description="Of a Fargate task, vCPUs: 1, 2, 4, 8 or 16.")
    fargate_gb: int = Field(16, ge=2, le=120, description="Memory of a Fargate task, GB.")
    model: str = Field("qwen2.5vl:7b", min_length=1, description="Model that the image holds and tasks keep warm.")
    ollama_version: str = Field("0.33.0", pattern=r"^\d+\.\d+\.\d+$", description="Ollama that the image holds.")
    slots: int = Field(4, ge=1, le=16, description="OLLAMA_NUM_PARALLEL of each task; 4 to 8 suit a T4.")
    num_ctx: int = Field(8192, ge=256, description="Context that tasks are kept warm with, tokens.")
    max_tasks: int = Field(4, ge=1, le=64, description="Tasks at the most.")
    pages_per_slot: float = Field(
        20,
        gt=0,
        description="AWS adds a task when more pages wait for each slot: a machine's start of about three minutes is "
        "worth 20 pages of 7.5 s.",
    )
    idle_minutes: int = Field(10, ge=3, le=60, description="Without a run or a request for so long, no task is left.")
    disk_gb: int = Field(100, ge=40, le=1000, description="gp3 disk of each machine, GB.")
    disk_throughput: int = Field(
        437,
        ge=125,
        le=1000,
        description="Of this disk, MB/s; no more is paid for than one of the types takes, see the pool of EC2.",
    )
    metrics: bool = Field(
        False,
        description="Tasks tell CloudWatch their GPUs' use, requests in flight and whether they are used, as machines "
        "do: 6 metrics a pool, USD 0.30 a month each, for the hours in which a task runs.",
    )
    subnets: tuple[str, ...] = Field(
        (), description="Subnet ids (JSON list), two zones at least; the default VPC's if empty."
    )
    ami_parameter: str = Field(
        "/aws/service/ecs/optimized-ami/amazon-linux-2023/gpu/recommended/image_id",
        description="Public SSM parameter of the machines' AMI: one made for ECS, with NVIDIA's driver.",
    )
