"""The assumptions of a plan or a simulation, each with its name and unit."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, ValidationError, model_validator

from tasks.core.errors import InputError
from tasks.core.jobs import Frozen

DAY_SECONDS = 86_400.0


class Range(Frozen):
    """A value's low end, typical value and high end."""

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
        """Return a range of one value."""
        return cls(low=value, typical=value, high=value)

    @classmethod
    def parse(cls, text: str) -> Range:
        """Parse 5, 5-10 (its middle is the typical value) or 5-7-10."""
        parts = [float(part) for part in text.split("-")]
        if len(parts) == 3:
            return cls(low=parts[0], typical=parts[1], high=parts[2])
        low, high = parts if len(parts) == 2 else (*parts, *parts)
        return cls(low=low, typical=(low + high) / 2, high=high)

    def __add__(self, other: Range) -> Range:
        return Range(low=self.low + other.low, typical=self.typical + other.typical, high=self.high + other.high)

    def times(self, factor: float) -> Range:
        """Multiply all three values."""
        return Range(low=self.low * factor, typical=self.typical * factor, high=self.high * factor)

    def at_least(self, floor: float) -> Range:
        """Raise every value below the floor to it."""
        return Range(low=max(self.low, floor), typical=max(self.typical, floor), high=max(self.high, floor))


class Assumptions(Frozen):
    """The assumptions. None of the defaults was measured on a GPU; ranges are low-typical-high."""

    page_seconds: Range = Field(
        Range(low=5, typical=7.5, high=10), description="time of one page while all slots are busy, seconds"
    )
    page_sigma: float = Field(0.3, ge=0, le=3, description="spread of page times: sigma of a lognormal distribution")
    load_seconds: Range = Field(Range(low=10, typical=20, high=30), description="time to load the model, seconds")
    boot_seconds: Range = Field(
        Range(low=40, typical=60, high=120), description="boot time of an EC2 machine with a baked image, seconds"
    )
    task_seconds: Range = Field(Range(low=10, typical=20, high=60), description="start time of an ECS task, seconds")
    sagemaker_seconds: Range = Field(
        Range(low=180, typical=300, high=600),
        description="start time of an endpoint's first instance after scaling to zero, seconds",
    )
    slots: int = Field(8, ge=1, le=256, description="pages that one machine reads at once")
    slowdown_per_slot: float = Field(
        0.1, ge=0, le=1, description="slowdown of a page for each other page in flight, as a fraction"
    )
    page_seconds_slots: int = Field(
        8, ge=1, le=256, description="number of pages in flight at which page_seconds was measured"
    )
    machines: int = Field(4, ge=1, le=1000, description="number of machines of `several machines`, and of ECS tasks")
    instance_type: str = Field("g4dn.xlarge", description="instance type of every machine")
    region: str = Field("us-east-1", description="AWS region whose prices are used")
    usd_per_hour: float | None = Field(
        None, ge=0, description="on-demand price of a machine, instead of the price book's, USD per hour"
    )
    idle_seconds: float = Field(
        600, ge=0, description="how long an auto-stopped machine idles after the last page, seconds"
    )
    runs_a_day: float = Field(1, gt=0, description="runs per day, which share what is paid for all day")
    ec2_minimum_seconds: float = Field(60, ge=0, description="shortest time that EC2 bills for Linux, seconds")
    component_seconds: float = Field(
        600,
        ge=0,
        description="time from the removal of an inference component's last copy to the end of its instance, seconds",
    )
    sagemaker_minimum_seconds: float = Field(60, ge=0, description="shortest time that SageMaker bills, seconds")
    disk_gb: int = Field(100, ge=0, description="size of each machine's gp3 disk, GB")
    ipv4: bool = Field(default=True, description="whether each machine has a public IPv4 address")
    alb_lcu: float = Field(1, ge=0, description="capacity units that the load balancer uses")
    lambda_seconds: float = Field(
        2, ge=0, description="duration of the function that starts a task, billed by the millisecond, seconds"
    )
    lambda_gb: float = Field(0.5, ge=0, description="memory of the function that starts a task, GB")
    cpu_page_seconds: Range = Field(
        Range(low=1.0, typical=1.3, high=1.7),
        description="time of one page on one vCPU with the OCR model tesseract:eng, seconds; measured on another CPU",
    )
    fargate_vcpu: int = Field(4, ge=1, le=16, description="vCPUs of each Fargate task, one page at a time on each")
    fargate_gb: int = Field(8, ge=1, le=120, description="memory of each Fargate task, GB")
    fargate_minimum_seconds: float = Field(60, ge=0, description="shortest time that Fargate bills for Linux, seconds")
    spot_rework: Range = Field(
        Range(low=0, typical=0.02, high=0.2), description="fraction of pages that are read again on spot"
    )
    weights_gib: float = Field(6.0, gt=0, description="GPU memory of the model's weights, GiB (qwen2.5vl:7b)")
    kv_kib_per_token: float = Field(56, gt=0, description="size of the KV cache, KiB per token (qwen2.5vl:7b)")
    num_ctx: int = Field(8192, ge=256, description="context length of each slot, tokens")
    vram_reserve_gib: float = Field(1.0, ge=0, description="GPU memory for images and buffers, GiB")
    sound_layers: float = Field(
        0,
        ge=0,
        le=1,
        description="fraction of a number of pages that --text-layer takes from their text layer, 0 to 1",
    )
    seed: int = Field(1, description="seed of the random page times")

    def with_values(self, given: dict[str, str]) -> Assumptions:
        """Return a copy with other values by name, as text; a range is written as 5-10 or 5-7-10.

        Raises:
            InputError: a name is unknown, or a value does not fit it.
        """
        values: dict[str, Any] = {}
        for name, text in given.items():
            field = Assumptions.model_fields.get(name)
            if field is None:
                known = ", ".join(Assumptions.model_fields)
                raise InputError(f"There is no assumption named {name!r}. Choose one of: {known}.")
            try:
                values[name] = Range.parse(text) if field.annotation is Range else text
            except ValueError:
                raise InputError(f"{name} is {text!r}. Write it like 5, 5-10 or 5-7-10.") from None
        try:
            return Assumptions.model_validate({**dict(self), **values})
        except ValidationError as error:
            first = error.errors()[0]
            raise InputError(f"The assumption {first['loc'][0]} is wrong: {first['msg']}.") from None


# `--classic` leaves out boot, minimum billing and idling.
CLASSIC = {
    "usd_per_hour": "0.75",
    "ipv4": "false",
    **dict.fromkeys(("page_sigma", "slowdown_per_slot", "boot_seconds", "task_seconds"), "0"),
    **dict.fromkeys(("ec2_minimum_seconds", "fargate_minimum_seconds"), "0"),
    **dict.fromkeys(("idle_seconds", "component_seconds", "disk_gb"), "0"),
}
