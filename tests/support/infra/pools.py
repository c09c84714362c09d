"""A pool's values for tests."""

from __future__ import annotations

from infra_scripts.ec2.pool import Ec2Stack

NETWORK = "10.20.0.0/16"


def pool(**changed: object) -> Ec2Stack:
    """The default pool, with some of its values changed."""
    allow_from = () if changed.get("access") == "tunnel" else (NETWORK,)
    of_the_pool = {"pool": "default", "region": "us-east-1", "allow_from": allow_from, "boot_seconds": 1200}
    return Ec2Stack(**{**of_the_pool, "base_ami_parameter": "/base/ami-id", **changed})
