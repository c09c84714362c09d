"""The ECS service's CloudFormation stack: its values, its template, and the resources that it creates."""

import hashlib
import json
import re
from functools import cached_property
from pathlib import Path

from infra_scripts.common.cloudformation import fill_template
from infra_scripts.common.deployment import PlanRow
from infra_scripts.common.errors import RequestError
from infra_scripts.common.ingress import ingress_rules
from infra_scripts.common.names import SHAPES, check_pool, check_shapes
from infra_scripts.common.sweep import SWEEP_COST, with_sweep
from tasks.settings.ecs import EcsStackSettings

_FILES = Path(__file__).parent
_MACHINE = _FILES.parent / "machine"
BUILD_SCRIPT = _FILES / "build.sh"
IMAGE_FILES = (
    *(_FILES / name for name in ("Dockerfile", "agent.py")),
    *(_MACHINE / name for name in ("aws.py", "gpu.py", "metrics.py")),
)
"""The files of the image, besides Ollama and the model."""
PORT = 11434
_SHAPES = {
    **SHAPES,
    "ami_parameter": re.compile(r"/[A-Za-z0-9_./-]{1,1000}"),
}
# vCPUs: least and most memory and its step, GB
# (https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html).
_FARGATE = {1: (2, 8, 1), 2: (4, 16, 1), 4: (8, 30, 1), 8: (16, 60, 4), 16: (32, 120, 8)}


class EcsStack(EcsStackSettings):
    """The settings of a service's stack.

    Attributes:
        allow_from: networks and security groups that may reach the load balancer.
    """

    pool: str
    region: str
    allow_from: tuple[str, ...]

    def model_post_init(self, _: object) -> None:
        """Refuse values that would not work, or not be safe, before anything is created.

        Raises:
            RequestError: a value is not valid.
        """
        check_pool(self.pool)
        check_shapes(self, _SHAPES)
        least, most, step = _FARGATE.get(self.fargate_vcpu, (0, -1, 1))
        if self.capacity == "fargate" and self.fargate_gb not in range(least, most + 1, step):
            raise RequestError(
                f"Fargate offers no task with {self.fargate_vcpu} vCPU and {self.fargate_gb} GB. Choose "
                f"{', '.join(map(str, _FARGATE))} vCPU; with 4 vCPU, 8 to 30 GB."
            )
        if not self.allow_from:
            raise RequestError(
                "Nobody may reach the load balancer. "
                "Use --allow-from with a network (10.0.0.0/16) or a security group (sg-...)."
            )
        _ = self.ingress

    @cached_property
    def ingress(self) -> list[dict[str, object]]:
        """The security group's inbound rules."""
        return ingress_rules(self.allow_from, PORT)

    @property
    def name(self) -> str:
        """Name of the stack and of most of its resources."""
        return stack_name(self.pool)

    @property
    def kind(self) -> str:
        """Description of the capacity on which a task runs."""
        gpu = self.capacity == "gpu"
        return self.types[0] if gpu else f"fargate {self.fargate_vcpu} vCPU {self.fargate_gb} GB"

    @property
    def linked_services(self) -> tuple[str, ...]:
        """Services whose service-linked roles must exist first."""
        machines = ("autoscaling", "spot") if self.capacity == "gpu" else ()
        common = ("ecs", "ecs.application-autoscaling", "elasticloadbalancing")
        return tuple(f"{name}.amazonaws.com" for name in (*common, *machines))

    @property
    def image_tag(self) -> str:
        """Digest of everything by which images differ: with another tag, another image has to be built."""
        values = json.dumps([self.model, self.ollama_version, *(path.read_text() for path in IMAGE_FILES)])
        return hashlib.sha256(values.encode()).hexdigest()[:12]


def stack_name(pool: str) -> str:
    """Return the name of a pool's stack."""
    return f"hearth-ecs-{pool}"


def template(stack: EcsStack) -> str:
    """Return the CloudFormation template with inbound rules and instance types."""
    types = [{"InstanceType": name} for name in stack.types]
    values = {
        "SecurityGroupIngress: []": f"SecurityGroupIngress: {json.dumps(stack.ingress)}",
        "Overrides: []": f"Overrides: {json.dumps(types)}",
    }
    variables = {
        **{"HEARTH_POOL": {"Ref": "Pool"}, "HEARTH_SERVICE": {"Ref": "Cluster"}, "HEARTH_TABLE": {"Ref": "Table"}},
        "HEARTH_IDLE_MINUTES": {"Ref": "IdleMinutes"},
    }
    body = fill_template(_FILES / "template.yaml", values)
    return with_sweep(body, prefix="hearth-ecs-", handler=_FILES / "sweep.py", variables=variables)


def parameters(stack: EcsStack, *, vpc: str, subnets: tuple[str, ...], ami: str) -> dict[str, str]:
    """Return the values of the template's parameters."""
    return {
        "Pool": stack.pool,
        "Capacity": stack.capacity,
        "Kind": stack.kind,
        "VpcId": vpc,
        "Subnets": ",".join(subnets),
        "AmiId": ami,
        "ImageTag": stack.image_tag,
        "Model": stack.model,
        "NumCtx": str(stack.num_ctx),
        "Slots": str(stack.slots),
        "MaxTasks": str(stack.max_tasks),
        "OnDemandBase": str(stack.on_demand_base),
        "OnDemandPercent": str(stack.on_demand_percent),
        "SpotPercent": str(100 - stack.on_demand_percent),
        "PagesPerSlot": f"{stack.pages_per_slot:g}",
        "IdleMinutes": str(stack.idle_minutes),
        "DiskGb": str(stack.disk_gb),
        "DiskThroughput": str(stack.disk_throughput),
        "DiskIops": str(max(3000, stack.disk_throughput * 4)),
        "Metrics": str(stack.metrics).lower(),
        "Cpu": str(stack.fargate_vcpu * 1024),
        "MemoryMb": str(stack.fargate_gb * 1024),
    }


def plan_rows(stack: EcsStack, balancer_usd_per_hour: float, hours_a_month: float) -> tuple[PlanRow, ...]:
    """Return the resources that `up` creates, with their cost while no task runs; the balancer uses one unit."""
    sources = ", ".join(stack.allow_from)
    monthly = f"USD {balancer_usd_per_hour * hours_a_month:.2f} a month, used or not"
    # An alarm is paid for by its metrics; for machines AWS creates two more, for its own scaling.
    alarms, usd = ("two alarms, and two of AWS's own", 0.50) if stack.capacity == "gpu" else ("two alarms", 0.20)
    per_metric = "USD 0.30 a month each, by the hour"
    machines = [
        PlanRow("Auto Scaling group", f"0 to {stack.max_tasks} of {', '.join(stack.types)}", "nothing while empty"),
        PlanRow("launch template, role", stack.name, "nothing"),
    ]
    return (
        PlanRow("internal load balancer", f"port {PORT} from {sources}", monthly),
        PlanRow("ECS service", f"{stack.name}, 0 to {stack.max_tasks} tasks on {stack.kind}", "nothing without tasks"),
        *(machines if stack.capacity == "gpu" else ()),
        PlanRow(f"scaling, {alarms}", f"to zero after {stack.idle_minutes} idle minutes", f"USD {usd:.2f} a month"),
        PlanRow("schedule, function", f"{stack.name}-sweep, does the same if the alarm fails", SWEEP_COST),
        PlanRow("image repository", stack.name, "USD 0.10 per GB and month of the image"),
        PlanRow("roles", f"{stack.name}-{stack.region}-start, -task", "nothing"),
        *((PlanRow("metrics", "6 metrics of tasks, while they run", per_metric),) if stack.metrics else ()),
        PlanRow("DynamoDB table", stack.name, "cents a month, by request"),
        PlanRow("log group", f"/hearth/ecs/{stack.pool}, 14 days", "cents a month"),
    )
