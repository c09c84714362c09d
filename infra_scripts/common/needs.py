"""A stack's requirements on an account besides CloudFormation's resources, which `hearth infra doctor` checks."""

from dataclasses import dataclass
from typing import Literal

Market = Literal["spot", "on-demand"]


@dataclass(frozen=True)
class Machines:
    """The EC2 instances of a stack.

    Attributes:
        types: acceptable instance types, the preferred one first.
        ami_parameter: public SSM parameter of the base image.
        disk_gb: size of the root disk, GB.
    """

    types: tuple[str, ...]
    markets: tuple[Market, ...]
    ami_parameter: str
    ami_setting: str
    disk_gb: int
    disk_setting: str


@dataclass(frozen=True)
class Container:
    """A container image in ECR.

    Attributes:
        name: registry, repository, and tag or digest; without the registry if the repository is part of the stack.
        build: how the image is built and pushed.
    """

    name: str
    media_types: frozenset[str]
    build: str

    @property
    def in_stack_repository(self) -> bool:
        """Whether the repository is part of the stack, so that the image is pushed after the deployment."""
        return "/" not in self.name


@dataclass(frozen=True)
class Needs:
    """The requirements of a stack; None or empty where it has none.

    Attributes:
        balancer_subnets_setting: setting that names the subnets of its load balancer.
        fargate_vcpu: vCPUs of one task; `fargate_spot` is its market.
        endpoint_type: instance type of a SageMaker endpoint.
    """

    machines: Machines | None = None
    balancer_subnets_setting: str = ""
    fargate_vcpu: float = 0
    fargate_spot: bool = False
    endpoint_type: str | None = None
    container: Container | None = None
    reserved_concurrency: int = 0
