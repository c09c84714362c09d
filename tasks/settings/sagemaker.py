"""Settings of the SageMaker endpoint: how runs use it, and what is deployed."""

from enum import StrEnum

from pydantic import Field

from tasks.core.jobs import Frozen


class SagemakerSettings(Frozen):
    """How runs use the endpoint. HEARTH_EC2__POOL and HEARTH_EC2__REGION name its pool and region."""

    start_seconds: float = Field(1800, gt=0, description="Maximum time until an endpoint has an instance, seconds.")
    poll_seconds: float = Field(10, gt=0, description="Interval of checking whether it has one, seconds.")
    follow_seconds: float = Field(30, gt=0, description="Interval of checking the endpoint's size, seconds.")
    payload_mb: float = Field(25, gt=0, description="Maximum size of a real-time request, megabytes (AWS's limit).")


class Serving(StrEnum):
    """The kind of inference."""

    ASYNC = "async"
    REALTIME = "realtime"


class SagemakerStackSettings(Frozen):
    """The stack that `hearth infra up sagemaker` deploys."""

    image: str | None = Field(None, description="Hearth's container in ECR; see docs/how-to/sagemaker.md.")
    serving: Serving = Field(
        Serving.ASYNC, description="Inference: async (a queue; pages may take long) or realtime (8 minutes a page)."
    )
    models: tuple[str, ...] = Field(
        ("qwen2.5vl:7b",), min_length=1, description="Models, the default one first (JSON list); async supports one."
    )
    model_digests: tuple[str, ...] = Field(
        (), description="Digests of the models, or their first 12 digits (JSON list). A container with others exits."
    )
    model_data: str | None = Field(
        None,
        pattern=r"^s3://[a-z0-9.-]+/\S+/$",
        description="S3 prefix of an Ollama model store, for example s3://bucket/store/; the image's own if unset.",
    )
    instance_type: str = Field(
        "ml.g4dn.xlarge", pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9-]+$", description="Instance type, such as ml.g5.xlarge."
    )
    inference_ami: str = Field(
        "al2-ami-sagemaker-inference-gpu-3-1",
        pattern=r"^[a-z0-9-]+$",
        description="SageMaker's AMI version. The default has NVIDIA's driver 550, the oldest that Ollama supports.",
    )
    slots: int = Field(8, ge=1, le=256, description="Slots of each copy: OLLAMA_NUM_PARALLEL.")
    num_ctx: int = Field(8192, ge=256, description="Context length of each slot, tokens.")
    min_copies: int = Field(0, ge=0, le=64, description="Copies that stay up, and cost money, without requests.")
    max_copies: int = Field(1, ge=1, le=64, description="Maximum copies of each model.")
