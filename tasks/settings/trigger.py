"""Settings of the upload trigger, which `hearth infra up lambda` deploys."""

from enum import StrEnum

from pydantic import Field

from tasks.core.jobs import BackendName, Frozen


class Capacity(StrEnum):
    """The capacity of a task, which reads a batch on its backend, or by itself with the embedded server."""

    FARGATE = "FARGATE"
    FARGATE_SPOT = "FARGATE_SPOT"


class TriggerSettings(Frozen):
    """The trigger that reads uploads to S3."""

    bucket: str | None = Field(None, description="Bucket for uploads; their results go to HEARTH_OUTPUT.")
    prefix: str = Field("", description="Prefix of the PDFs' keys, for example inbox/; all keys if empty.")
    prefect_url: str = Field(
        "", description="URL of Prefect's API, which the function calls over the internet; it starts a task if empty."
    )
    prefect_secret: str = Field(
        "", description="ARN of the Secrets Manager secret with Prefect's API key; no key if empty."
    )
    deployment: str = Field("process-document/on-demand", description="Prefect deployment that the function runs.")
    image: str | None = Field(None, description="Image of the task; infra_scripts/worker/Dockerfile builds it.")
    backend: BackendName = Field(BackendName.EC2, description="Backend on which the task reads.")
    max_usd: float = Field(5.0, gt=0, description="Maximum cost of one task's machines, USD.")
    max_minutes: float = Field(
        120.0, ge=1, description="Time after which a task starts no page, minutes; it is killed at 1.5 times."
    )
    batch_seconds: int = Field(60, ge=1, le=300, description="Time to collect uploads for one task, seconds.")
    capacity: Capacity = Field(Capacity.FARGATE, description="FARGATE, or FARGATE_SPOT: cheaper, but interruptible.")
    cpu: int = Field(2048, ge=1024, le=8192, description="CPU units of the task; 1024 are one vCPU.")
    memory_mb: int = Field(4096, ge=2048, description="Memory of the task, MB; 4 to 16 GB with 2 vCPU.")
    reserved_concurrency: int = Field(
        0, ge=0, description="Reserved concurrency of the function; 0 for none, as an account limited to 10 requires."
    )
    alarm_topic: str = Field("", description="ARN of an SNS topic for dead letters and failed tasks; none if empty.")
    caller_policy: str = Field(
        "", description="ARN of a managed policy for tasks, with the text that `hearth infra policy caller` prints."
    )
    public_ip: bool = Field(True, description="Whether tasks get public IP addresses; false behind a NAT.")
    subnets: tuple[str, ...] = Field((), description="Subnet ids of tasks (JSON list); the default VPC's if empty.")
