"""The validated values of a pool's CloudFormation stack."""

import re
from functools import cached_property

from infra_scripts.common.errors import RequestError
from infra_scripts.common.ingress import ingress_rules
from infra_scripts.common.names import SHAPES, check_pool, check_shapes
from tasks.settings.ec2 import Ec2StackSettings

BASE_IMAGE = ("HEARTH_EC2_STACK__BASE_AMI_PARAMETER", "an Ubuntu image, with NVIDIA's driver for machines with a GPU")
"""The setting that names the base image's parameter, and a description of a suitable image."""
_DEEP_LEARNING_GB = 100
_PORTS = {"private": 11434, "token": 11435, "tunnel": 11434}
INITIALIZATION_MIB_S = 300
"""The highest rate that EBS offers (https://docs.aws.amazon.com/ebs/latest/userguide/initalize-volume.html)."""
_GP3_IOPS = 3000
_GP3_IOPS_PER_MB_S = 4
_SHAPES = {
    **SHAPES,
    "access": re.compile("|".join(_PORTS)),
    "base_ami_parameter": re.compile(r"/[A-Za-z0-9_./-]{1,1000}"),
}


class Ec2Stack(Ec2StackSettings):
    """The settings of a pool's stack.

    Attributes:
        allow_from: networks and security groups that may reach the machines; none in tunnel mode.
        boot_seconds: longest time from running until Ollama responds.
        load: body of the request with which a machine loads its model as soon as it has it; empty: it waits for a run.
        terminate_hours: how long a stopped machine is kept.
    """

    pool: str
    region: str
    allow_from: tuple[str, ...]
    boot_seconds: float
    load: str = ""
    terminate_hours: float = 24.0

    def model_post_init(self, _: object) -> None:
        """Refuse values that would not work, or not be safe, before anything is created.

        Raises:
            RequestError: a value is not valid.
        """
        check_pool(self.pool)
        check_shapes(self, _SHAPES)
        if min(self.idle_seconds, self.boot_seconds, self.lifetime_seconds) < 60:
            raise RequestError(
                "A machine's idle, boot and lifetime limits must be at least a minute. Raise "
                "HEARTH_EC2_STACK__WATCHDOG_MINUTES, HEARTH_EC2__BOOT_SECONDS or HEARTH_EC2_STACK__LIFETIME_HOURS."
            )
        if "/deeplearning/" in self.base_ami_parameter and self.disk_gb < _DEEP_LEARNING_GB:
            raise RequestError(
                f"The deep-learning image needs a disk of {_DEEP_LEARNING_GB} GB, but the disk has {self.disk_gb} GB. "
                "Raise HEARTH_EC2_STACK__DISK_GB."
            )
        if self.access == "tunnel" and self.allow_from:
            raise RequestError("Access by tunnel has no inbound port, so --allow-from has no effect. Remove it.")
        if self.access != "tunnel" and not self.allow_from:
            raise RequestError(
                f"Access is {self.access}, but nobody may reach the machines. "
                "Use --allow-from with a network (10.0.0.0/16) or a security group (sg-...)."
            )
        _ = self.ingress

    @cached_property
    def ingress(self) -> list[dict[str, object]]:
        """The security group's inbound rules."""
        return ingress_rules(self.allow_from, self.port)

    @property
    def idle_seconds(self) -> float:
        """Time without a request after which a machine powers itself off."""
        return self.watchdog_minutes * 60

    @property
    def lifetime_seconds(self) -> float:
        """Longest time that a machine runs."""
        return self.lifetime_hours * 3600

    @property
    def name(self) -> str:
        """Name of the stack."""
        return f"hearth-{self.pool}"

    @property
    def port(self) -> int:
        """Port on which runs reach a machine."""
        return _PORTS[self.access]

    @property
    def log_group(self) -> str:
        """Log group of the machines' boot logs."""
        return f"/hearth/{self.pool}"

    @property
    def initialization_mib_s(self) -> int:
        """Paid rate at which EBS fills a new disk from its snapshot, MiB/s; 0 for the free rate."""
        return INITIALIZATION_MIB_S if self.model_disk == "provisioned" else 0

    @property
    def disk_iops(self) -> int:
        """IOPS that the throughput needs, at least the free ones."""
        return max(_GP3_IOPS, self.disk_throughput * _GP3_IOPS_PER_MB_S)
