"""An ECS service's values for tests."""

from __future__ import annotations

from infra_scripts.ecs.service import EcsStack

AMI_PARAMETER = "/base/ami-id"


def service(**changed: object) -> EcsStack:
    """The default service, with some of its values changed."""
    of_the_pool = {"pool": "default", "region": "us-east-1", "allow_from": ("10.20.0.0/16",)}
    return EcsStack(**{**of_the_pool, "types": ("g4dn.xlarge", "g5.xlarge"), "ami_parameter": AMI_PARAMETER, **changed})
