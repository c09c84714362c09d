"""The SageMaker stack: its values, its template, and the resources that it creates."""

import json
import re
from pathlib import Path

from infra_scripts.common.container_images import parse_image
from infra_scripts.common.deployment import PlanRow
from infra_scripts.common.errors import RequestError
from infra_scripts.common.names import HOURS_A_MONTH, check_pool, partition
from tasks.settings.sagemaker import SagemakerStackSettings

_FILES = Path(__file__).parent
# SageMaker aborts a streamed real-time response after 480 s: before that, the slot is freed and the reason returned.
_ANSWER_SECONDS = {"async": 3600, "realtime": 470}
_BUSY_PART = 0.75
_GPU = re.compile(r"ml\.(g|p)\d")
_SHAPES = {
    # With a tag or a digest, as CloudFormation's parameter requires.
    "image": re.compile(r"[a-z0-9.-]+/[a-z0-9._/-]+(:[A-Za-z0-9._-]+|@sha256:[0-9a-f]{64})"),
    "model_data": re.compile(r"(s3://[a-z0-9.-]+/[A-Za-z0-9._/-]+/)?"),
    "instance_type": re.compile(r"ml\.[a-z0-9-]+\.[a-z0-9-]+"),
}
_DIGEST = re.compile(r"[0-9a-f]{12,64}")
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}")


class SagemakerStack(SagemakerStackSettings):
    """The settings of an endpoint's stack."""

    pool: str
    region: str
    image: str

    def model_post_init(self, _: object) -> None:
        """Refuse values that would not work before anything is created.

        Raises:
            RequestError: a value is not valid.
        """
        check_pool(self.pool)
        for name, shape in _SHAPES.items():
            if not shape.fullmatch(getattr(self, name) or ""):
                what, setting = name.replace("_", " "), f"HEARTH_SAGEMAKER_STACK__{name.upper()}"
                raise RequestError(f"The endpoint's {what} cannot be {getattr(self, name)!r}. Correct {setting}.")
        if parse_image(self.image) is None:
            raise RequestError(f"The endpoint's image must be in ECR, but {self.image} is not. Push it to ECR.")
        for model in self.models:
            if not _MODEL.fullmatch(model):
                raise RequestError(f"{model!r} is not a valid name of a model. Correct HEARTH_SAGEMAKER_STACK__MODELS.")
        if len(set(self.models)) < len(self.models):
            raise RequestError("HEARTH_SAGEMAKER_STACK__MODELS names a model twice. Name each model once.")
        if len(self.model_digests) not in {0, len(self.models)} or not all(map(_DIGEST.fullmatch, self.model_digests)):
            raise RequestError(
                "HEARTH_SAGEMAKER_STACK__MODEL_DIGESTS must have a digest for each model, in the same order, of 12 to "
                "64 hex digits."
            )
        if self.serving == "async" and len(self.models) > 1:
            raise RequestError(
                f"An asynchronous endpoint serves one model, but {len(self.models)} are named. "
                "Name one, or set HEARTH_SAGEMAKER_STACK__SERVING=realtime."
            )
        if self.min_copies > self.max_copies:
            raise RequestError(
                f"The minimum of {self.min_copies} copies is above the maximum of {self.max_copies}. Change either."
            )

    @property
    def name(self) -> str:
        """Name of the stack."""
        return stack_name(self.pool)

    @property
    def components(self) -> dict[str, str]:
        """Inference component of each model; an empty name if there is none."""
        real_time = self.serving == "realtime"
        return {model: f"hearth-{self.pool}-{at}" if real_time else "" for at, model in enumerate(self.models)}

    @property
    def repository(self) -> str:
        """ARN of the image's repository."""
        image = parse_image(self.image)
        assert image is not None  # noqa: S101 - checked by model_post_init
        return f"arn:{partition(self.region)}:ecr:{image.region}:{image.account}:repository/{image.repository}"


def stack_name(pool: str) -> str:
    """Return the name of a pool's stack."""
    return f"hearth-sagemaker-{pool}"


def template(stack: SagemakerStack) -> str:
    """Return the CloudFormation template with the parts of each model."""
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
    """Return the values of the template's parameters."""
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
    """Return the resources that `up` creates, and sentences about their cost, from the price of one instance."""
    kept = stack.min_copies * len(stack.models)
    price = "at an unknown price" if usd_per_hour is None else f"USD {usd_per_hour:.2f} an hour each"
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
        PlanRow(
            "scaling, alarms",
            "one alarm for each model, and two of AWS's own",
            f"USD {0.30 * len(stack.models):.2f} a month",
        ),
        PlanRow("log groups", "14 days", "cents a month"),
    ]
    if stack.serving == "async":
        rows.append(PlanRow("bucket", "requests and responses, for a day at most", "cents a month, by request"))
    first = f"The first {stack.instance_type} starts with the endpoint: SageMaker creates no endpoint without one."
    if kept:
        usd = (usd_per_hour or 0.0) * kept
        price = f": USD {usd * 24:.2f} a day, {usd * HOURS_A_MONTH:.0f} a month" if usd else ""
        paid = f"{kept} of them run all day, used or not{price}."
    else:
        paid = "AWS scales it to zero after 15 to 25 minutes without a request; the next run starts it in 5 to 10."
    return tuple(rows), (first, paid)
