"""What a stack needs of an account beside CloudFormation's resources: what `hearth infra doctor` looks at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Market = Literal["spot", "on-demand"]


@dataclass(frozen=True)
class Machines:
    """EC2 instances that are launched.

    Attributes:
        types: instance types, the preferred one first; any of them will do.
        markets: where they are bought; any of them will do.
        ami_parameter: public SSM parameter of the image that they are launched from.
        ami_setting: the setting that names it.
        disk_gb: size of the root disk.
        disk_setting: the setting of that size.
    """

    types: tuple[str, ...]
    markets: tuple[Market, ...]
    ami_parameter: str
    ami_setting: str
    disk_gb: int
    disk_setting: str


@dataclass(frozen=True)
class Container:
    """An image of a container in ECR.

    Attributes:
        name: registry, repository, and tag or digest; without the registry where the repository is part of the stack.
        media_types: of manifests, those that whoever runs it takes.
        build: how it is built and pushed.
    """

    name: str
    media_types: frozenset[str]
    build: str

    @property
    def in_stack_repository(self) -> bool:
        """Whether the repository is part of the stack, so that the image can only come after it."""
        return "/" not in self.name


@dataclass(frozen=True)
class Needs:
    """All of them. What a stack does not need is None or empty.

    Attributes:
        balancer_subnets_setting: the setting that names the subnets of its load balancer.
        fargate_vcpu: of one task; `fargate_spot` says on which market.
        endpoint_type: instance type of a SageMaker endpoint.
        reserved_concurrency: of its Lambda function.
    """

    machines: Machines | None = None
    balancer_subnets_setting: str = ""
    fargate_vcpu: float = 0
    fargate_spot: bool = False
    endpoint_type: str | None = None
    container: Container | None = None
    reserved_concurrency: int = 0
