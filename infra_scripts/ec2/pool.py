"""What varies from pool to pool: the values of its CloudFormation stack, checked."""

from __future__ import annotations

import re
from functools import cached_property

from infra_scripts.common.errors import RequestError
from infra_scripts.common.ingress import ingress_rules
from infra_scripts.common.names import SHAPES, check_pool, check_shapes
from tasks.settings.ec2 import Ec2StackSettings

BASE_IMAGE = ("HEARTH_EC2_STACK__BASE_AMI_PARAMETER", "an Ubuntu image, with NVIDIA's driver for machines with a GPU")
"""The setting that names the image's parameter, and what that has to name."""
_DEEP_LEARNING_GB = 100
_PORTS = {"private": 11434, "token": 11435, "tunnel": 11434}
INITIALIZATION_MIB_S = 300
"""The most that EBS offers (https://docs.aws.amazon.com/ebs/latest/userguide/initalize-volume.html)."""
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
        terminate_hours: how long a stopped machine is kept.
    """

    pool: str
    region: str
    allow_from: tuple[str, ...]
    boot_seconds: float
    terminate_hours: float = 24.0

    def model_post_init(self, _: object) -> None:
        """Refuse what would not work, or not be safe, before anything is made.

        Raises:
            RequestError: a value is not what it should be.
        """
        check_pool(self.pool)
        check_shapes(self, _SHAPES)
        if min(self.idle_seconds, self.boot_seconds, self.lifetime_seconds) < 60:
            raise RequestError(
                "A machine cannot be told to go in less than a minute: idle, boot and lifetime limits are longer."
            )
        if "/deeplearning/" in self.base_ami_parameter and self.disk_gb < _DEEP_LEARNING_GB:
            raise RequestError(
                f"The deep-learning image needs a disk of {_DEEP_LEARNING_GB} GB, and {self.disk_gb} GB were given. "
                "Raise HEARTH_EC2_STACK__DISK_GB."
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
        return ingress_rules(self.allow_from, self.port)

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
    def initialization_mib_s(self) -> int:
        """MiB/s at which EBS fills a new disk from its snapshot; 0 for the rate that costs nothing."""
        return INITIALIZATION_MIB_S if self.model_disk == "provisioned" else 0

    @property
    def disk_iops(self) -> int:
        """As many as the throughput needs, and no fewer than are free."""
        return max(_GP3_IOPS, self.disk_throughput * _GP3_IOPS_PER_MB_S)
