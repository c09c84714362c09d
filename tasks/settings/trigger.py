"""What `hearth infra up lambda` deploys."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from tasks.core.jobs import BackendName, Frozen


class Capacity(StrEnum):
    """Where the task of a batch runs; it reads on the machines of its backend, or itself on the embedded server."""

    FARGATE = "FARGATE"
    FARGATE_SPOT = "FARGATE_SPOT"


class TriggerSettings(Frozen):
    """Uploads to S3 that are read by themselves."""

    bucket: str | None = Field(None, description="Bucket where PDFs land; its results go to HEARTH_OUTPUT.")
    prefix: str = Field("", description="What keys of PDFs begin with, such as inbox/.")
    prefect_url: str = Field(
        "", description="Prefect's API, which the function reaches over the internet; a task is started if empty."
    )
    prefect_secret: str = Field(
        "", description="ARN of the secret in Secrets Manager that holds Prefect's API key; none if empty."
    )
    deployment: str = Field("process-document/on-demand", description="Prefect's deployment.")
    image: str | None = Field(None, description="Image of the task, see infra_scripts/worker/Dockerfile.")
    backend: BackendName = Field(BackendName.EC2, description="Where the task has pages read.")
    max_usd: float = Field(5.0, gt=0, description="Most that the machines of one task may cost, USD.")
    max_minutes: float = Field(
        120.0, ge=1, description="A task begins no page after so long, and is killed after half as long again, minutes."
    )
    batch_seconds: int = Field(60, ge=1, le=300, description="How long uploads are collected for one task, seconds.")
    capacity: Capacity = Field(Capacity.FARGATE, description="Of the task; FARGATE_SPOT is cheaper and interrupted.")
    cpu: int = Field(2048, ge=1024, le=8192, description="Of the task; 1024 is a vCPU.")
    memory_mb: int = Field(4096, ge=2048, description="Of the task, MB; Fargate takes 4 to 16 GB beside 2 vCPU.")
    reserved_concurrency: int = Field(
        0, ge=0, description="Of the function; 0 reserves none: an account limited to 10 at once has none to reserve."
    )
    alarm_topic: str = Field("", description="ARN of an SNS topic that is told of dead letters and tasks that failed.")
    caller_policy: str = Field(
        "", description="ARN of a managed policy with what `hearth infra policy caller` prints, for tasks."
    )
    public_ip: bool = Field(True, description="Whether tasks have public addresses; false where there is a NAT.")
    subnets: tuple[str, ...] = Field((), description="Subnet ids of tasks (JSON list); the default VPC's if empty.")
