"""Everything that a plan takes for granted, by name and with its unit."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, ValidationError, model_validator

from tasks.core.errors import InputError
from tasks.core.jobs import Frozen

DAY_SECONDS = 86_400.0


class Range(Frozen):
    """What is likely at least, typically and at most."""

    low: float = Field(ge=0)
    typical: float = Field(ge=0)
    high: float = Field(ge=0)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low <= self.typical <= self.high:
            raise ValueError("low, typical and high must ascend")
        return self

    @classmethod
    def exactly(cls, value: float) -> Range:
        """No range at all."""
        return cls(low=value, typical=value, high=value)

    @classmethod
    def parse(cls, text: str) -> Range:
        """Read 5, 5-10 (the middle is typical) or 5-7-10."""
        parts = [float(part) for part in text.split("-")]
        if len(parts) == 1:
            return cls.exactly(parts[0])
        if len(parts) == 2:
            return cls(low=parts[0], typical=sum(parts) / 2, high=parts[1])
        low, typical, high = parts
        return cls(low=low, typical=typical, high=high)

    def __add__(self, other: Range) -> Range:
        return Range(low=self.low + other.low, typical=self.typical + other.typical, high=self.high + other.high)

    def times(self, factor: float) -> Range:
        """All of it, so many times."""
        return Range(low=self.low * factor, typical=self.typical * factor, high=self.high * factor)

    def at_least(self, floor: float) -> Range:
        """No part of it under the floor."""
        return Range(low=max(self.low, floor), typical=max(self.typical, floor), high=max(self.high, floor))


class Assumptions(Frozen):
    """What a plan takes for granted. None of the defaults was measured on a GPU; ranges are low-typical-high."""

    page_seconds: Range = Field(Range(low=5, typical=7.5, high=10), description="a page, all slots busy, seconds")
    page_sigma: float = Field(0.3, ge=0, le=3, description="spread of page times: sigma of a lognormal distribution")
    load_seconds: Range = Field(Range(low=10, typical=20, high=30), description="loading the model, seconds")
    boot_seconds: Range = Field(Range(low=40, typical=60, high=120), description="a baked EC2 machine's boot, seconds")
    task_seconds: Range = Field(Range(low=10, typical=20, high=60), description="an ECS task's start, seconds")
    sagemaker_seconds: Range = Field(
        Range(low=180, typical=300, high=600), description="an endpoint's instance from none, seconds"
    )
    slots: int = Field(8, ge=1, le=256, description="pages that one machine reads at once")
    slowdown_per_slot: float = Field(
        0.1, ge=0, le=1, description="how much longer a page takes for each further page in flight, as a share"
    )
    page_seconds_slots: int = Field(8, ge=1, le=256, description="pages in flight where page_seconds is from")
    machines: int = Field(4, ge=1, le=1000, description="of `several` and ECS tasks")
    instance_type: str = Field("g4dn.xlarge", description="of every machine")
    region: str = Field("us-east-1", description="whose prices")
    usd_per_hour: float | None = Field(None, ge=0, description="a machine's on-demand price instead of the book's, USD")
    idle_seconds: float = Field(600, ge=0, description="an auto-stopped machine's wait after the last page, seconds")
    runs_a_day: float = Field(1, gt=0, description="such runs a day, which share what is paid for all day")
    ec2_minimum_seconds: float = Field(60, ge=0, description="EC2 Linux bills at least, seconds")
    component_seconds: float = Field(
        600, ge=0, description="from an inference component's last copy to the end of its instance, seconds"
    )
    sagemaker_minimum_seconds: float = Field(60, ge=0, description="SageMaker bills at least, seconds")
    disk_gb: int = Field(100, ge=0, description="gp3 disk of each machine, GB")
    ipv4: bool = Field(default=True, description="whether each machine has a public IPv4 address")
    alb_lcu: float = Field(1, ge=0, description="the load balancer's capacity units in use")
    lambda_seconds: float = Field(2, ge=0, description="of the function that starts a task, billed by the ms")
    lambda_gb: float = Field(0.5, ge=0, description="its memory, GB")
    cpu_page_seconds: Range = Field(
        Range(low=1.0, typical=1.3, high=1.7),
        description="a page on one vCPU with the OCR model, seconds (tesseract:eng; measured on another CPU)",
    )
    fargate_vcpu: int = Field(4, ge=1, le=16, description="of each Fargate task; it reads a page on each")
    fargate_gb: int = Field(8, ge=1, le=120, description="its memory, GB")
    fargate_minimum_seconds: float = Field(60, ge=0, description="Fargate bills Linux at least, seconds")
    spot_rework: Range = Field(Range(low=0, typical=0.02, high=0.2), description="share of pages read again on spot")
    weights_gib: float = Field(6.0, gt=0, description="the model's weights in GPU memory, GiB (qwen2.5vl:7b)")
    kv_kib_per_token: float = Field(56, gt=0, description="KV cache, KiB a token (qwen2.5vl:7b)")
    num_ctx: int = Field(8192, ge=256, description="context of each slot, tokens")
    vram_reserve_gib: float = Field(1.0, ge=0, description="GPU memory for images and buffers, GiB")
    seed: int = Field(1, description="of the page times that are drawn")

    def with_values(self, given: dict[str, str]) -> Assumptions:
        """These, but for what is given as NAME=VALUE; a range as 5-10 or 5-7-10.

        Raises:
            InputError: there is no such name, or the value does not fit it.
        """
        values: dict[str, Any] = {}
        for name, text in given.items():
            field = Assumptions.model_fields.get(name)
            if field is None:
                known = ", ".join(Assumptions.model_fields)
                raise InputError(f"There is no assumption named {name!r}. Choose of: {known}.")
            try:
                values[name] = Range.parse(text) if field.annotation is Range else text
            except ValueError:
                raise InputError(f"{name} is {text!r}. Write it like 5, 5-10 or 5-7-10.") from None
        try:
            return Assumptions.model_validate({**dict(self), **values})
        except ValidationError as error:
            first = error.errors()[0]
            raise InputError(f"The assumption {first['loc'][0]} is wrong: {first['msg']}.") from None


# The table that leaves out boot, minimum billing and what idles: --assume classic.
CLASSIC = {
    "usd_per_hour": "0.75",
    "page_sigma": "0",
    "slowdown_per_slot": "0",
    "boot_seconds": "0",
    "task_seconds": "0",
    "ec2_minimum_seconds": "0",
    "fargate_minimum_seconds": "0",
    "idle_seconds": "0",
    "component_seconds": "0",
    "disk_gb": "0",
    "ipv4": "false",
}
