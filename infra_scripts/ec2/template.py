"""The pool's CloudFormation template: filled, with its parameters, and what it makes and costs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from infra_scripts.common.cloudformation import fill_template
from infra_scripts.common.deployment import PlanRow
from infra_scripts.common.names import HOURS_A_MONTH
from infra_scripts.common.sweep import SWEEP_COST, with_sweep
from infra_scripts.ec2.pool import Ec2Stack
from infra_scripts.ec2.user_data import config_digest, user_data

_TEMPLATE = Path(__file__).with_name("template.yaml")


def template(stack: Ec2Stack) -> str:
    """The CloudFormation template with the pool's user data and ingress rules."""
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
    """The values of the template's parameters."""
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


@dataclass(frozen=True)
class Plan:
    """What `up` makes, and what it costs."""

    rows: tuple[PlanRow, ...]
    machine_usd_per_hour: Mapping[str, float | None]
    """Of a running machine on demand, its disk included, by type; None where no price is known."""
    stopped_usd_per_month: float
    """Of a stopped machine: its disk."""


def plan(
    stack: Ec2Stack,
    usd_per_hour: Mapping[str, float | None],
    disk_usd_per_hour: float,
    initialization_usd: float = 0.0,
) -> Plan:
    """What `up` makes and what it costs, at the prices given.

    Args:
        stack: the pool.
        usd_per_hour: of each instance type that runs may launch, on demand; None where it is not known.
        disk_usd_per_hour: of one machine's disk.
        initialization_usd: of filling a new machine's disk, if that is paid for.
    """
    sources = ", ".join(stack.allow_from) or "nobody; through SSM alone"
    rows = [
        PlanRow("security group", f"port {stack.port} from {sources}", "nothing"),
        PlanRow("launch template", stack.name, "nothing, until a run launches a machine"),
        PlanRow("role, instance profile", f"hearth-{stack.pool}-{stack.region}", "nothing"),
        PlanRow("DynamoDB table", stack.name, "cents a month, by request"),
        PlanRow("log group", f"{stack.log_group}, 14 days", "cents a month"),
        PlanRow("parameter", f"/hearth/{stack.pool}/ami", "nothing"),
        PlanRow("schedule, function", f"ends what was stopped for {stack.terminate_hours:g} hours", SWEEP_COST),
    ]
    if stack.metrics:
        rows.append(PlanRow("metrics", "8 of the machines, while they run", "USD 0.30 a month each, by the hour"))
    if stack.initialization_mib_s:
        what = f"of each new disk from its image, {stack.initialization_mib_s} MiB/s"
        rows.append(PlanRow("initialization", what, f"USD {initialization_usd:.2f} a launch at most"))
    if stack.access == "token":
        names = ", ".join(f"/hearth/{stack.pool}/{name}" for name in ("token", "tls-key", "tls-certificate"))
        rows.append(PlanRow("secrets", names, "nothing"))
    running = {name: None if usd is None else usd + disk_usd_per_hour for name, usd in usd_per_hour.items()}
    return Plan(tuple(rows), running, disk_usd_per_hour * HOURS_A_MONTH)
