"""The settings of the pool of EC2 machines: how runs use it, and what is deployed."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from tasks.core.jobs import Frozen
from tasks.core.scaling import PAGES_PER_SLOT


class Access(StrEnum):
    """How runs reach a machine's Ollama."""

    PRIVATE = "private"
    TOKEN = "token"  # noqa: S105 - a word, not a secret
    TUNNEL = "tunnel"


class SpotPolicy(StrEnum):
    """Which market machines are bought on."""

    AUTO = "auto"
    """Spot first, on demand where there is none."""
    SPOT = "spot"
    ON_DEMAND = "on_demand"


class ModelDisk(StrEnum):
    """How a new machine of a baked image comes by its model: the image's disk is filled from S3 as it is read."""

    PREFETCH = "prefetch"
    """Read in many parts at once before the load."""
    PROVISIONED = "provisioned"
    """The same, and EBS fills the disk at a rate that is paid for."""
    INSTANCE_STORE = "instance_store"
    """Pulled at each boot to the machine's own NVMe."""


class Ec2Settings(Frozen):
    """The pool of EC2 machines."""

    pool: str = Field(
        "default",
        pattern=r"^[a-z][a-z0-9-]{0,19}$",
        description="Name of the pool of machines; its CloudFormation stack is `hearth-<pool>`.",
    )
    region: str | None = Field(None, description="AWS region; AWS's own configuration if unset.")
    spot_policy: SpotPolicy = Field(
        SpotPolicy.AUTO, description="Market: spot, on_demand, or auto (spot first, on demand where there is none)."
    )
    types: tuple[str, ...] = Field(
        ("g4dn.xlarge", "g4dn.2xlarge", "g5.xlarge", "g6.xlarge"),
        min_length=1,
        description="Instance types, the preferred one first (JSON list). Without a GPU: c5.2xlarge.",
    )
    zones: tuple[str, ...] = Field((), description="Availability zones (JSON list); all of the pool's if empty.")
    max_price: float | None = Field(None, gt=0, description="Most that a machine may cost, USD per hour.")
    max_usd_a_day: float | None = Field(
        None,
        gt=0,
        description="When the pool has cost so much since midnight UTC, whoever used it, no page is begun and no "
        "machine is started, USD.",
    )
    capacity_seconds: float = Field(600, gt=0, description="How long to go on asking for a machine, seconds.")
    start_seconds: float = Field(300, gt=0, description="From launch or start until EC2 says running, seconds.")
    boot_seconds: float = Field(
        1200, gt=0, description="From running until Ollama answers; without a baked AMI it is installed then, seconds."
    )
    lease_seconds: float = Field(
        180, gt=0, description="How long a machine stays leased to a run that died or lost AWS, seconds."
    )
    machines: int = Field(1, ge=1, le=64, description="Machines that one run reads on at once, at the most.")
    pages_a_slot: float = Field(
        PAGES_PER_SLOT,
        ge=0,
        description="A further one of them comes for so many pages for each of its slots, pages; 0: as soon as a page "
        "would wait for it.",
    )
    poll_seconds: float = Field(3, gt=0, description="How often EC2 is asked about a machine, seconds.")
    terminate_hours: float = Field(24, ge=0, description="How long a stopped machine is kept before it goes, hours.")


class Ec2StackSettings(Frozen):
    """What `hearth infra up ec2` deploys."""

    access: Access = Field(
        Access.PRIVATE,
        description="How runs reach Ollama: private (its private address), token (TLS and a bearer token, for callers "
        "outside the network), tunnel (SSM port forwarding, no inbound port).",
    )
    model: str = Field("qwen2.5vl:7b", min_length=1, description="Model that machines pull while they boot.")
    ollama_version: str = Field("0.33.0", pattern=r"^\d+\.\d+\.\d+$", description="Ollama that machines install.")
    ollama_sha256: str | None = Field(
        None,
        pattern=r"^[0-9a-f]{64}$",
        description="SHA-256 of Ollama's archive; that of the release's own sha256sum.txt if unset. A machine that "
        "downloads another one does not boot.",
    )
    model_digest: str | None = Field(
        None,
        pattern=r"^[0-9a-f]{12,64}$",
        description="Digest of the model, or at least its first 12 digits; a machine that pulls another one does not "
        "boot. Any will do if unset.",
    )
    slots: int = Field(8, ge=1, le=256, description="OLLAMA_NUM_PARALLEL.")
    num_ctx: int = Field(8192, ge=256, description="OLLAMA_CONTEXT_LENGTH, tokens.")
    disk_gb: int = Field(100, ge=60, le=16_000, description="Size of the gp3 disk, GB.")
    disk_throughput: int = Field(
        437,
        ge=125,
        le=1000,
        description="Of the gp3 disk, MB/s; it bounds a model's load. No more is paid for than a type of the pool "
        "takes: 437 (g4dn, g5) or 625 (g6) up to 2xlarge, for half an hour at a time.",
    )
    model_disk: ModelDisk = Field(
        ModelDisk.PREFETCH,
        description="How a new machine of a baked image comes by its model, as its disk is filled from S3 when it is "
        "read: prefetch (in many parts at once, before the load), provisioned (the same, and EBS fills the disk at "
        "300 MiB/s for USD 0.0036 a GB of the image at each launch), instance_store (pulled at each boot to the "
        "machine's NVMe).",
    )
    watchdog_minutes: float = Field(
        15, gt=0, description="Without a request for so long, a machine shuts itself down, minutes."
    )
    lifetime_hours: float = Field(12, gt=0, description="No machine runs longer than this, hours.")
    metrics: bool = Field(
        False,
        description="Machines tell CloudWatch their GPUs' use, requests in flight and leases: 8 metrics a pool, "
        "USD 0.30 a month each, for the hours in which a machine runs.",
    )
    subnets: tuple[str, ...] = Field((), description="Subnet ids (JSON list); the default VPC's if empty.")
    base_ami_parameter: str = Field(
        "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-24.04/latest/ami-id",
        description="Public SSM parameter of the AMI to start from.",
    )
