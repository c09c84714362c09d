"""The SageMaker stack: its values, its template, and what it makes and costs."""

from __future__ import annotations

import json
import re
from pathlib import Path

from infra_scripts.common.container_images import parse_image
from infra_scripts.common.deployment import PlanRow
from infra_scripts.common.errors import RequestError
from infra_scripts.common.names import HOURS_A_MONTH, check_pool, partition
from tasks.settings.sagemaker import SagemakerStackSettings

_FILES = Path(__file__).parent
# SageMaker cuts a real-time answer that streams off at 480 s: before it does, the slot is freed and the reason told.
_ANSWER_SECONDS = {"async": 3600, "realtime": 470}
_BUSY_PART = 0.75
_GPU = re.compile(r"ml\.(g|p)\d")
_SHAPES = {
    # With a tag or a digest, which CloudFormation's parameter wants, too.
    "image": re.compile(r"[a-z0-9.-]+/[a-z0-9._/-]+(:[A-Za-z0-9._-]+|@sha256:[0-9a-f]{64})"),
    "model_data": re.compile(r"(s3://[a-z0-9.-]+/[A-Za-z0-9._/-]+/)?"),
    "instance_type": re.compile(r"ml\.[a-z0-9-]+\.[a-z0-9-]+"),
}
_DIGEST = re.compile(r"[0-9a-f]{12,64}")
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}")


class SagemakerStack(SagemakerStackSettings):
    """The settings of an endpoint's stack, and whose it is."""

    pool: str
    region: str
    image: str

    def model_post_init(self, _: object) -> None:
        """Refuse what would not work before anything is made.

        Raises:
            RequestError: a value is not what it should be.
        """
        check_pool(self.pool)
        for name, shape in _SHAPES.items():
            if not shape.fullmatch(getattr(self, name) or ""):
                raise RequestError(f"The endpoint's {name.replace('_', ' ')} cannot be {getattr(self, name)!r}.")
        if parse_image(self.image) is None:
            raise RequestError(f"The endpoint's image must be in ECR, and {self.image} is not.")
        for model in self.models:
            if not _MODEL.fullmatch(model):
                raise RequestError(f"{model!r} is no name of a model.")
        if len(set(self.models)) < len(self.models):
            raise RequestError("A model is named twice.")
        if len(self.model_digests) not in {0, len(self.models)} or not all(map(_DIGEST.fullmatch, self.model_digests)):
            raise RequestError("A digest is 12 to 64 hex digits, and there is one for each model, in their order.")
        if self.serving == "async" and len(self.models) > 1:
            raise RequestError(
                f"An asynchronous endpoint serves one model, and {len(self.models)} are named. "
                "Name one, or set HEARTH_SAGEMAKER_STACK__SERVING=realtime."
            )
        if self.min_copies > self.max_copies:
            raise RequestError(f"At least {self.min_copies} copies and at most {self.max_copies} cannot be both.")

    @property
    def name(self) -> str:
        """Of the stack."""
        return stack_name(self.pool)

    @property
    def components(self) -> dict[str, str]:
        """The inference component of each model; empty where there are none."""
        real_time = self.serving == "realtime"
        return {model: f"hearth-{self.pool}-{at}" if real_time else "" for at, model in enumerate(self.models)}

    @property
    def repository(self) -> str:
        """The ARN of the image's repository."""
        image = parse_image(self.image)
        assert image is not None  # noqa: S101 - it was checked
        return f"arn:{partition(self.region)}:ecr:{image.region}:{image.account}:repository/{image.repository}"


def stack_name(pool: str) -> str:
    """Of the stack of a pool."""
    return f"hearth-sagemaker-{pool}"


def template(stack: SagemakerStack) -> str:
    """The CloudFormation template, with each model's parts."""
    parts = ["model.yaml"] + (["component.yaml"] if stack.serving == "realtime" else [])
    digests = stack.model_digests or ("",) * len(stack.models)
    added = ""
    for at, model in enumerate(stack.models):
        for part in parts:
            text = (_FILES / part).read_text()
            values = {"@N@": str(at), "@MODEL@": json.dumps(model), "@DIGEST@": json.dumps(digests[at])}
            for mark, value in values.items():
                text = text.replace(mark, value)
            added += text + "\n"
    before, found, after = (_FILES / "template.yaml").read_text().partition("Outputs:\n")
    return before + added + found + after


def parameters(stack: SagemakerStack) -> dict[str, str]:
    """The values of the template's parameters."""
    data = stack.model_data or ""
    path = data.removeprefix("s3://").rstrip("/") or "none"
    return {
        "Pool": stack.pool,
        "Serving": stack.serving,
        "Image": stack.image,
        "Repository": stack.repository,
        "ModelData": data,
        "ModelPath": path,
        "ModelBucket": path.partition("/")[0],
        "Models": json.dumps(stack.components),
        "InstanceType": stack.instance_type,
        "Gpu": str(bool(_GPU.match(stack.instance_type))).lower(),
        "InferenceAmi": stack.inference_ami,
        "Slots": str(stack.slots),
        "NumCtx": str(stack.num_ctx),
        "AnswerSeconds": str(_ANSWER_SECONDS[stack.serving]),
        "BusySlots": str(max(1, round(stack.slots * _BUSY_PART))),
        "MinCopies": str(stack.min_copies),
        "MaxCopies": str(stack.max_copies),
        "MaxInstances": str(stack.max_copies * len(stack.models)),
    }


def plan(stack: SagemakerStack, usd_per_hour: float | None) -> tuple[tuple[PlanRow, ...], tuple[str, ...]]:
    """What `up` makes, and sentences on what it costs, at the price given of one instance."""
    kept = stack.min_copies * len(stack.models)
    price = "at a price not known" if usd_per_hour is None else f"USD {usd_per_hour:.2f} an hour each"
    rows = [
        PlanRow("endpoint", f"hearth-{stack.pool}, {stack.serving}", f"its instances, {price}"),
        PlanRow("instances", f"{kept} to {stack.max_copies * len(stack.models)} x {stack.instance_type}", price),
        *(
            PlanRow("inference component", f"{name}: {model}", "nothing")
            for model, name in stack.components.items()
            if name
        ),
        PlanRow("role", f"hearth-sagemaker-{stack.pool}-{stack.region}", "nothing"),
        PlanRow("DynamoDB table", stack.name, "cents a month, by request"),
        PlanRow("scaling, alarms", "one, and two of AWS's own, a model", f"USD {0.30 * len(stack.models):.2f} a month"),
        PlanRow("log groups", "14 days", "cents a month"),
    ]
    if stack.serving == "async":
        rows.append(PlanRow("bucket", "requests and answers, a day at the most", "cents a month, by request"))
    first = f"The first {stack.instance_type} starts with the endpoint: SageMaker makes none without."
    if kept and usd_per_hour is not None:
        usd = usd_per_hour * kept
        paid = f"{kept} of them run all day, asked or not: USD {usd * 24:.2f} a day, {usd * HOURS_A_MONTH:.0f} a month."
    elif kept:
        paid = f"{kept} of them run all day, asked or not."
    else:
        paid = "Without a request for some 15 to 25 minutes AWS scales it in to none; the next run wakes it in 5 to 10."
    return tuple(rows), (first, paid)
