"""Settings of the ECS service: how runs use it, and what is deployed."""

from enum import StrEnum

from pydantic import Field

from tasks.core.jobs import Frozen


class EcsSettings(Frozen):
    """How runs use the ECS service. HEARTH_EC2__POOL and HEARTH_EC2__REGION name its pool and region."""

    tasks: int = Field(
        2,
        ge=1,
        le=64,
        description="Minimum tasks that a run requests, up to `HEARTH_ECS_STACK__MAX_TASKS` if each slot gets "
        "`HEARTH_ECS_STACK__PAGES_PER_SLOT` pages.",
    )
    start_seconds: float = Field(1800, gt=0, description="Maximum time until the first task is warm, seconds.")
    lease_seconds: float = Field(180, gt=0, description="Time until the lease of a dead run expires, seconds.")
    poll_seconds: float = Field(5, gt=0, description="Interval of ECS requests for the serving tasks, seconds.")
    gone_seconds: float = Field(120, gt=0, description="Time without a task after which a run waits anew, seconds.")


class Capacity(StrEnum):
    """The machines on which tasks run."""

    GPU = "gpu"
    """EC2 machines with one GPU each, from an Auto Scaling group."""
    FARGATE = "fargate"
    """Fargate, which has no GPUs: for models that run on a CPU."""


class EcsStackSettings(Frozen):
    """The stack that `hearth infra up ecs` deploys."""

    capacity: Capacity = Field(
        Capacity.GPU, description="Where tasks run: gpu (EC2 machines with one GPU each), or fargate (CPU only)."
    )
    types: tuple[str, ...] = Field(
        ("g4dn.xlarge", "g5.xlarge", "g6.xlarge"),
        min_length=1,
        description="Instance types with one GPU, the preferred one first (JSON list).",
    )
    on_demand_base: int = Field(
        1, ge=0, le=64, description="Machines (or Fargate tasks) that are always on demand; the others are spot."
    )
    on_demand_percent: int = Field(0, ge=0, le=100, description="Share of the others that is also on demand, percent.")
    fargate_vcpu: int = Field(4, ge=1, le=16, description="vCPUs of a Fargate task: 1, 2, 4, 8 or 16.")
    fargate_gb: int = Field(16, ge=2, le=120, description="Memory of a Fargate task, GB.")
    model: str = Field("qwen2.5vl:7b", min_length=1, description="Model in the image, which tasks keep warm.")
    ollama_version: str = Field("0.33.0", pattern=r"^\d+\.\d+\.\d+$", description="Version of Ollama in the image.")
    slots: int = Field(4, ge=1, le=16, description="Slots of each task: OLLAMA_NUM_PARALLEL; 4 to 8 suit a T4.")
    num_ctx: int = Field(8192, ge=256, description="Context length of each slot, tokens.")
    max_tasks: int = Field(4, ge=1, le=64, description="Maximum tasks.")
    pages_per_slot: float = Field(
        20,
        gt=0,
        description="Waiting pages per slot above which AWS adds a task, pages; 20 take as long as a machine's start.",
    )
    idle_minutes: int = Field(10, ge=3, le=60, description="Idle time after which all tasks are stopped, minutes.")
    disk_gb: int = Field(100, ge=40, le=1000, description="Size of each machine's gp3 disk, GB.")
    disk_throughput: int = Field(
        437, ge=125, le=1000, description="Throughput of this disk, MB/s; capped as for the EC2 pool."
    )
    metrics: bool = Field(
        False,
        description="Whether tasks send GPU use, requests in flight and leases to CloudWatch: 6 metrics per pool, "
        "USD 0.30 a month each, charged for the hours in which a task runs.",
    )
    subnets: tuple[str, ...] = Field(
        (), description="Subnet ids in two or more zones (JSON list); the default VPC's if empty."
    )
    ami_parameter: str = Field(
        "/aws/service/ecs/optimized-ami/amazon-linux-2023/gpu/recommended/image_id",
        description="Public SSM parameter that names the machines' AMI, one for ECS with NVIDIA's driver.",
    )
