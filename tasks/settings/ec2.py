"""Settings of the EC2 pool: how runs use it, and what is deployed."""

from enum import StrEnum
from typing import Literal

from pydantic import Field

from tasks.core.jobs import Frozen
from tasks.core.scaling import PAGES_PER_SLOT
from tasks.settings.reading import Digest


class Access(StrEnum):
    """How runs reach Ollama on a machine."""

    PRIVATE = "private"
    TOKEN = "token"  # noqa: S105 - a word, not a secret
    TUNNEL = "tunnel"


class SpotPolicy(StrEnum):
    """The market on which machines are bought."""

    AUTO = "auto"
    """Spot first, on demand if there is no spot capacity."""
    SPOT = "spot"
    ON_DEMAND = "on_demand"

    @property
    def markets(self) -> tuple[Literal["spot", "on-demand"], ...]:
        """The markets in EC2's words, the first one to try first."""
        spot: tuple[Literal["spot"], ...] = () if self is SpotPolicy.ON_DEMAND else ("spot",)
        return spot if self is SpotPolicy.SPOT else (*spot, "on-demand")


class ModelDisk(StrEnum):
    """How a new machine of a baked image gets its model. The image's disk is filled from S3 as it is read."""

    PREFETCH = "prefetch"
    """The model is read in parallel parts, from power-on."""
    PROVISIONED = "provisioned"
    """The same, and EBS fills the disk at a provisioned, paid rate."""
    INSTANCE_STORE = "instance_store"
    """The model is pulled to the machine's NVMe disk at each boot."""


class Ec2Settings(Frozen):
    """How runs use the pool of EC2 machines."""

    pool: str = Field(
        "default",
        pattern=r"^[a-z][a-z0-9-]{0,19}$",
        description="Name of the pool, for example default; its CloudFormation stack is `hearth-<pool>`.",
    )
    region: str | None = Field(None, description="AWS region, for example us-east-1; AWS's own setting if unset.")
    spot_policy: SpotPolicy = Field(
        SpotPolicy.AUTO, description="Market: spot, on_demand, or auto (spot first, then on demand)."
    )
    types: tuple[str, ...] = Field(
        ("g4dn.xlarge", "g4dn.2xlarge", "g5.xlarge", "g6.xlarge"),
        min_length=1,
        description="Instance types, the preferred one first (JSON list). Use c5.2xlarge for machines without a GPU.",
    )
    zones: tuple[str, ...] = Field((), description="Availability zones (JSON list); all zones of the pool if empty.")
    max_price: float | None = Field(None, gt=0, description="Maximum price of a machine, USD per hour.")
    max_usd_a_day: float | None = Field(
        None,
        gt=0,
        description="Daily budget of the pool for all users, USD since midnight UTC. Once it is spent, no page and no "
        "machine is started; no limit if unset.",
    )
    capacity_seconds: float = Field(600, gt=0, description="Time to wait for capacity for a machine, seconds.")
    start_seconds: float = Field(300, gt=0, description="Maximum time until EC2 reports a machine as running, seconds.")
    boot_seconds: float = Field(
        1200, gt=0, description="Maximum time to boot and install until Ollama answers, seconds."
    )
    lease_seconds: float = Field(180, gt=0, description="Time until the lease of a dead run expires, seconds.")
    machines: int = Field(1, ge=1, le=64, description="Maximum machines of one run.")
    pages_a_slot: float = Field(
        PAGES_PER_SLOT, ge=0, description="Waiting pages per slot that add a machine to a run, pages; 0: any page."
    )
    poll_seconds: float = Field(3, gt=0, description="Interval of EC2 status requests for a machine, seconds.")
    terminate_hours: float = Field(24, ge=0, description="Time after which a stopped machine is terminated, hours.")


class Ec2StackSettings(Frozen):
    """The stack that `hearth infra up ec2` deploys."""

    access: Access = Field(
        Access.PRIVATE,
        description="How runs reach Ollama: private (its private address), token (TLS and a bearer token, for callers "
        "outside the network), tunnel (SSM port forwarding, no inbound port).",
    )
    model: str = Field("qwen2.5vl:7b", min_length=1, description="Model that machines pull at boot.")
    ollama_version: str = Field("0.33.0", pattern=r"^\d+\.\d+\.\d+$", description="Ollama version of the machines.")
    ollama_sha256: str | None = Field(
        None,
        pattern=r"^[0-9a-f]{64}$",
        description="SHA-256 of Ollama's archive; the release's own if unset. A machine with another does not boot.",
    )
    model_digest: Digest | None = Field(
        None, description="Digest of the model, or its first 12 digits or more. A machine with another does not boot."
    )
    slots: int = Field(8, ge=1, le=256, description="Slots of each machine: OLLAMA_NUM_PARALLEL.")
    num_ctx: int = Field(8192, ge=256, description="Context length of each slot, tokens: OLLAMA_CONTEXT_LENGTH.")
    disk_gb: int = Field(100, ge=60, le=16_000, description="Size of each gp3 disk, GB.")
    disk_throughput: int = Field(
        437,
        ge=125,
        le=1000,
        description="Throughput of each gp3 disk, MB/s, which limits how fast a model loads. It is capped at what the "
        "instance types support: 437 (g4dn, g5) or 625 (g6) up to 2xlarge, for half an hour at a time.",
    )
    model_disk: ModelDisk = Field(
        ModelDisk.PREFETCH,
        description="How a new machine of a baked image gets its model, as its disk is filled from S3 when it is "
        "read: prefetch (in parallel parts, from power-on), provisioned (the same, and EBS fills the disk at "
        "300 MiB/s for USD 0.0036 per GB of the image at each launch), instance_store (pulled to the machine's NVMe "
        "disk at each boot).",
    )
    watchdog_minutes: float = Field(15, gt=0, description="Idle time after which a machine shuts itself down, minutes.")
    lifetime_hours: float = Field(12, gt=0, description="Maximum uptime of a machine, hours.")
    metrics: bool = Field(
        False,
        description="Whether machines send GPU use, requests in flight and leases to CloudWatch: 8 metrics per pool, "
        "USD 0.30 a month each, charged for the hours in which a machine runs.",
    )
    subnets: tuple[str, ...] = Field((), description="Subnet ids (JSON list); those of the default VPC if empty.")
    base_ami_parameter: str = Field(
        "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-24.04/latest/ami-id",
        description="Public SSM parameter that names the base AMI.",
    )
