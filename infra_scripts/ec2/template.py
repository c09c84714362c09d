"""The pool's CloudFormation template with its parameters, and the resources that it creates."""

import json
from pathlib import Path

from infra_scripts.common.cloudformation import fill_template
from infra_scripts.common.deployment import PlanRow
from infra_scripts.common.sweep import SWEEP_COST, with_sweep
from infra_scripts.ec2.pool import Ec2Stack
from infra_scripts.ec2.user_data import config_digest, user_data

_TEMPLATE = Path(__file__).with_name("template.yaml")


def template(stack: Ec2Stack) -> str:
    """Return the CloudFormation template with the pool's user data and inbound rules."""
    values = {
        "SecurityGroupIngress: []": f"SecurityGroupIngress: {json.dumps(stack.ingress)}",
        "UserData: USER-DATA": f"UserData: {user_data(stack)}",
    }
    variables = {
        **{"HEARTH_POOL": {"Ref": "Pool"}, "HEARTH_TABLE": {"Ref": "Table"}},
        "HEARTH_TERMINATE_HOURS": {"Ref": "TerminateHours"},
    }
    handler = _TEMPLATE.with_name("sweep.py")
    return with_sweep(fill_template(_TEMPLATE, values), prefix="hearth-", handler=handler, variables=variables)


def parameters(stack: Ec2Stack, *, vpc: str, subnets: tuple[str, ...], ami: str) -> dict[str, str]:
    """Return the values of the template's parameters."""
    return {
        "Pool": stack.pool,
        "Config": config_digest(stack),
        "Access": stack.access,
        "Port": str(stack.port),
        "Slots": str(stack.slots),
        "VpcId": vpc,
        "Subnets": ",".join(subnets),
        "AmiId": ami,
        "DiskGb": str(stack.disk_gb),
        "DiskIops": str(stack.disk_iops),
        "DiskThroughput": str(stack.disk_throughput),
        "InitializationRate": str(stack.initialization_mib_s),
        "TerminateHours": f"{stack.terminate_hours:g}",
        "Metrics": str(stack.metrics).lower(),
    }


def plan_rows(stack: Ec2Stack, initialization_usd: float = 0.0) -> tuple[PlanRow, ...]:
    """Return the resources that `up` creates; `initialization_usd` is the price of filling a new machine's disk."""
    sources = ", ".join(stack.allow_from) or "nobody; through SSM alone"
    rows = [
        PlanRow("security group", f"port {stack.port} from {sources}", "nothing"),
        PlanRow("launch template", stack.name, "nothing, until a run launches a machine"),
        PlanRow("role, instance profile", f"hearth-{stack.pool}-{stack.region}", "nothing"),
        PlanRow("DynamoDB table", stack.name, "cents a month, by request"),
        PlanRow("log group", f"{stack.log_group}, 14 days", "cents a month"),
        PlanRow("parameter", f"/hearth/{stack.pool}/ami", "nothing"),
        PlanRow(
            "schedule, function",
            f"terminates machines that are stopped for {stack.terminate_hours:g} hours",
            SWEEP_COST,
        ),
    ]
    if stack.metrics:
        rows.append(PlanRow("metrics", "8 metrics of machines, while they run", "USD 0.30 a month each, by the hour"))
    if stack.initialization_mib_s:
        what = f"fills each new disk from its image at {stack.initialization_mib_s} MiB/s"
        rows.append(PlanRow("initialization", what, f"USD {initialization_usd:.2f} a launch at most"))
    if stack.access == "token":
        names = ", ".join(f"/hearth/{stack.pool}/{name}" for name in ("token", "tls-key", "tls-certificate"))
        rows.append(PlanRow("secrets", names, "nothing"))
    return tuple(rows)
