"""The trigger's CloudFormation stack: its values, its template, and the resources that it creates."""

import json
import re
from pathlib import Path

from infra_scripts.common.cloudformation import fill_template
from infra_scripts.common.deployment import PlanRow
from infra_scripts.common.errors import RequestError
from infra_scripts.common.names import check_pool
from tasks.core.document_kinds import SUFFIXES
from tasks.settings.trigger import TriggerSettings

_TEMPLATE = Path(__file__).with_name("template.yaml")
_HANDLER = Path(__file__).with_name("handler.py")
_BUCKET = r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"
_OUTPUT = re.compile(rf"s3://({_BUCKET})/([^*?]*[^/*?])/?")
# A task may take half as long again as its pages, to finish what it began; then it is killed.
_GRACE = 1.5


class TriggerStack(TriggerSettings):
    """The settings of a trigger's stack, and the output for results."""

    pool: str
    region: str
    output: str

    @property
    def name(self) -> str:
        """Name of the stack."""
        return f"hearth-{self.pool}-lambda"

    def parameters(self, *, vpc: str, subnets: tuple[str, ...]) -> dict[str, str]:
        """Return the values of the template's parameters.

        Raises:
            RequestError: a value is missing or not valid.
        """
        bucket, output = self.checked()
        options = (
            *("--output", f"s3://{output[0]}/{output[1]}", "--backend", self.backend, "--max-usd", f"{self.max_usd:g}"),
            *("--max-minutes", f"{self.max_minutes:g}", "--must-finish"),
        )
        return {
            "Pool": self.pool,
            "Bucket": bucket,
            "Prefix": self.prefix,
            "OutputBucket": output[0],
            "OutputPrefix": output[1],
            "BatchSeconds": str(self.batch_seconds),
            "ReservedConcurrency": str(self.reserved_concurrency),
            "AlarmTopic": self.alarm_topic,
            "PrefectApiUrl": self.prefect_url,
            "PrefectSecret": self.prefect_secret,
            "Deployment": self.deployment,
            "Image": self.image or "unused",
            "Options": " ".join(options),
            "MaxSeconds": str(round(self.max_minutes * 60 * _GRACE)),
            "Cpu": str(self.cpu),
            "MemoryMb": str(self.memory_mb),
            "Capacity": self.capacity,
            "CallerPolicy": self.caller_policy,
            "VpcId": vpc,
            "Subnets": ",".join(subnets),
            "PublicIp": "ENABLED" if self.public_ip else "DISABLED",
        }

    def checked(self) -> tuple[str, tuple[str, str]]:
        """Return the bucket of uploads, and the bucket and prefix of results.

        Raises:
            RequestError: a value is missing or not valid.
        """
        check_pool(self.pool)
        if not self.bucket:
            raise RequestError("The trigger has no bucket. Set HEARTH_TRIGGER__BUCKET to the bucket of uploads.")
        if not re.fullmatch(_BUCKET, self.bucket):
            raise RequestError(f"{self.bucket!r} is not a valid name of a bucket. Correct HEARTH_TRIGGER__BUCKET.")
        output = _OUTPUT.fullmatch(self.output)
        if output is None or re.search(r"\s", self.output):
            raise RequestError("The output is not a prefix in S3. Set HEARTH_OUTPUT, for example s3://bucket/results.")
        if output[1] == self.bucket and f"{self.prefix}".startswith(output[2] + "/"):
            raise RequestError(
                "The prefix of uploads is inside the output, which is ignored. Choose another HEARTH_OUTPUT."
            )
        if not self.prefect_url and not self.image:
            raise RequestError(
                "The trigger can start neither Prefect runs nor tasks. Set HEARTH_TRIGGER__PREFECT_URL, or "
                "HEARTH_TRIGGER__IMAGE to an image that has Hearth installed."
            )
        return self.bucket, (output[1], output[2])


def template() -> str:
    """Return the CloudFormation template with the function's code and the suffixes of documents."""
    suffixes = [{"suffix": {"equals-ignore-case": suffix}} for suffix in SUFFIXES]
    values = {
        "key: SUFFIXES": f"key: {json.dumps(suffixes)}",
        "HEARTH_SUFFIXES: SUFFIXES": f"HEARTH_SUFFIXES: {json.dumps(' '.join(SUFFIXES))}",
        "ZipFile: HANDLER": f"ZipFile: {json.dumps(_HANDLER.read_text())}",
    }
    return fill_template(_TEMPLATE, values)


def plan_rows(stack: TriggerStack) -> tuple[PlanRow, ...]:
    """Return the resources that `up` creates, and their cost."""
    starts = f"runs of {stack.deployment} in Prefect" if stack.prefect_url else f"tasks on {stack.capacity}"
    return (
        PlanRow("rule", f"documents in s3://{stack.bucket}/{stack.prefix}", "USD 1 a million uploads"),
        PlanRow("rule", f"{stack.name}-stopped, failed tasks", "nothing: ECS's own events are free"),
        PlanRow("queue, dead letters", f"{stack.name}, {stack.name}-dead", "USD 0.40 a million messages"),
        PlanRow("function", f"{stack.name}, starts {starts}", "USD 0.20 a million calls, and its seconds"),
        PlanRow("DynamoDB table", f"{stack.name}, the task of each upload", "cents a month, by request"),
        PlanRow("alarm", f"{stack.name}-dead", "USD 0.10 a month"),
        PlanRow("cluster, task definition", stack.name, "nothing, until a task runs"),
        PlanRow("roles, security group", stack.name, "nothing"),
        PlanRow("log groups", f"/hearth/{stack.pool}/lambda, -task, 14 days", "cents a month"),
    )
