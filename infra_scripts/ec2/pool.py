"""The pool's CloudFormation stack: its values, its template, its digest, and what it makes and costs."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from infra_scripts.common.cloudformation import filled
from infra_scripts.common.deployment import PlanRow
from infra_scripts.common.errors import RequestError
from infra_scripts.common.ingress import ingress
from infra_scripts.common.names import HOURS_A_MONTH, SHAPES, check_shapes
from infra_scripts.ec2.user_data import cloud_config, user_data
from tasks.settings.ec2 import Ec2StackSettings

_TEMPLATE = Path(__file__).with_name("template.yaml")
_PORTS = {"private": 11434, "token": 11435, "tunnel": 11434}
_GP3_IOPS = 3000
_GP3_IOPS_PER_MB_S = 4
_SHAPES = {
    **SHAPES,
    "access": re.compile("|".join(_PORTS)),
    "base_ami_parameter": re.compile(r"/[A-Za-z0-9_./-]{1,1000}"),
}


class Ec2Stack(Ec2StackSettings):
    """The settings of a pool's stack, and which pool it is.

    Attributes:
        allow_from: networks and security groups that may reach the machines; none in tunnel mode.
        boot_seconds: from running until Ollama answers, at the most.
    """

    pool: str
    region: str
    allow_from: tuple[str, ...]
    boot_seconds: float

    def model_post_init(self, _: object) -> None:
        """Refuse what would not work, or not be safe, before anything is made.

        Raises:
            RequestError: a value is not what it should be.
        """
        check_shapes(self, _SHAPES)
        if min(self.idle_seconds, self.boot_seconds, self.lifetime_seconds) < 60:
            raise RequestError(
                "A machine cannot be told to go in less than a minute: idle, boot and lifetime limits are longer."
            )
        if self.access == "tunnel" and self.allow_from:
            raise RequestError(
                "Access by tunnel has no inbound port: --allow-from has nothing to allow. Leave it away."
            )
        if self.access != "tunnel" and not self.allow_from:
            raise RequestError(
                f"Access is {self.access}, and nobody was allowed to reach the machines. "
                "Name who may: --allow-from with a network (10.0.0.0/16) or a security group (sg-...)."
            )
        _ = self.ingress

    @cached_property
    def ingress(self) -> list[dict[str, object]]:
        """The security group's rules."""
        return ingress(self.allow_from, self.port)

    @property
    def idle_seconds(self) -> float:
        """Without a request for so long, a machine shuts itself down."""
        return self.watchdog_minutes * 60

    @property
    def lifetime_seconds(self) -> float:
        """No machine runs longer."""
        return self.lifetime_hours * 3600

    @property
    def name(self) -> str:
        """Of the stack."""
        return f"hearth-{self.pool}"

    @property
    def port(self) -> int:
        """Where runs talk to a machine."""
        return _PORTS[self.access]

    @property
    def log_group(self) -> str:
        """Where machines send their boot log."""
        return f"/hearth/{self.pool}"

    @property
    def disk_iops(self) -> int:
        """As many as the throughput needs, and no fewer than are free."""
        return max(_GP3_IOPS, self.disk_throughput * _GP3_IOPS_PER_MB_S)

    @property
    def config(self) -> str:
        """The digest of all that makes machines differ."""
        disk = [self.disk_gb, self.disk_iops, self.disk_throughput]
        told = json.dumps([cloud_config(self), disk, self.base_ami_parameter])
        return hashlib.sha256(told.encode()).hexdigest()[:12]


def template(stack: Ec2Stack) -> str:
    """The CloudFormation template with the pool's user data and ingress rules."""
    values = {
        "SecurityGroupIngress: []": f"SecurityGroupIngress: {json.dumps(stack.ingress)}",
        "UserData: USER-DATA": f"UserData: {user_data(stack)}",
    }
    return filled(_TEMPLATE, values)


def parameters(stack: Ec2Stack, *, vpc: str, subnets: tuple[str, ...], ami: str) -> dict[str, str]:
    """The values of the template's parameters."""
    return {
        "Pool": stack.pool,
        "Config": stack.config,
        "Access": stack.access,
        "Port": str(stack.port),
        "Slots": str(stack.slots),
        "VpcId": vpc,
        "Subnets": ",".join(subnets),
        "AmiId": ami,
        "DiskGb": str(stack.disk_gb),
        "DiskIops": str(stack.disk_iops),
        "DiskThroughput": str(stack.disk_throughput),
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


def plan(stack: Ec2Stack, usd_per_hour: Mapping[str, float | None], disk_usd_per_hour: float) -> Plan:
    """What `up` makes and what it costs, at the prices given.

    Args:
        stack: the pool.
        usd_per_hour: of each instance type that runs may launch, on demand; None where it is not known.
        disk_usd_per_hour: of one machine's disk.
    """
    sources = ", ".join(stack.allow_from) or "nobody; through SSM alone"
    rows = [
        PlanRow("security group", f"port {stack.port} from {sources}", "nothing"),
        PlanRow("launch template", stack.name, "nothing, until a run launches a machine"),
        PlanRow("role, instance profile", f"hearth-{stack.pool}-{stack.region}", "nothing"),
        PlanRow("DynamoDB table", stack.name, "cents a month, by request"),
        PlanRow("log group", f"{stack.log_group}, 14 days", "cents a month"),
        PlanRow("parameter", f"/hearth/{stack.pool}/ami", "nothing"),
    ]
    if stack.metrics:
        rows.append(PlanRow("metrics", "8 of the machines, while they run", "USD 0.30 a month each, by the hour"))
    if stack.access == "token":
        names = ", ".join(f"/hearth/{stack.pool}/{name}" for name in ("token", "tls-key", "tls-certificate"))
        rows.append(PlanRow("secrets", names, "nothing"))
    running = {name: None if usd is None else usd + disk_usd_per_hour for name, usd in usd_per_hour.items()}
    return Plan(tuple(rows), running, disk_usd_per_hour * HOURS_A_MONTH)
