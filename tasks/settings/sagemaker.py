"""Settings of the SageMaker endpoint."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from tasks.core.jobs import Frozen


class SagemakerSettings(Frozen):
    """The SageMaker endpoint, as runs use it. Pool and region are those of HEARTH_EC2__POOL and HEARTH_EC2__REGION."""

    start_seconds: float = Field(
        1800, gt=0, description="How long to wait for an endpoint that has no instance, seconds."
    )
    poll_seconds: float = Field(10, gt=0, description="How often such an endpoint is asked, seconds.")
    follow_seconds: float = Field(30, gt=0, description="How often a run looks how large its endpoint is, seconds.")
    payload_mb: float = Field(
        25, gt=0, description="Largest request of a real-time endpoint, megabytes: AWS's limit; it was 6 before."
    )


class Serving(StrEnum):
    """How an endpoint answers."""

    ASYNC = "async"
    REALTIME = "realtime"


class SagemakerStackSettings(Frozen):
    """What `hearth infra up sagemaker` deploys."""

    image: str | None = Field(None, description="Hearth's container in ECR; see docs/how-to/sagemaker.md.")
    serving: Serving = Field(
        Serving.ASYNC,
        description="How it answers: async (a queue in front; pages may take long) or realtime (8 minutes a page).",
    )
    models: tuple[str, ...] = Field(
        ("qwen2.5vl:7b",), min_length=1, description="Models (JSON list), the default one first; async takes one."
    )
    model_digests: tuple[str, ...] = Field(
        (),
        description="Digest of each model, or at least its first 12 digits, in their order (JSON list); a container "
        "whose model is another one ends. Any will do if empty.",
    )
    model_data: str | None = Field(
        None,
        pattern=r"^s3://[a-z0-9.-]+/\S+/$",
        description="S3 prefix of an Ollama store, such as s3://bucket/store/; the image's own store if unset.",
    )
    instance_type: str = Field("ml.g4dn.xlarge", pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9-]+$", description="Instance type.")
    inference_ami: str = Field(
        "al2-ami-sagemaker-inference-gpu-3-1",
        pattern=r"^[a-z0-9-]+$",
        description="SageMaker's AMI: this one has NVIDIA's driver 550, the oldest that Ollama supports.",
    )
    slots: int = Field(8, ge=1, le=256, description="OLLAMA_NUM_PARALLEL of each copy.")
    num_ctx: int = Field(8192, ge=256, description="Context that the model is loaded with, tokens.")
    min_copies: int = Field(0, ge=0, le=64, description="Copies that are kept, and paid for, when nobody asks.")
    max_copies: int = Field(1, ge=1, le=64, description="Copies of each model, at the most.")
