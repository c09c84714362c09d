"""A pool's values for tests."""

from __future__ import annotations

from infra_scripts.ec2.pool import Ec2Stack

NETWORK = "10.20.0.0/16"


def pool(**changed: object) -> Ec2Stack:
    """The default pool, with some of its values changed."""
    values: dict[str, object] = {
        "pool": "default",
        "region": "us-east-1",
        "access": "private",
        "allow_from": () if changed.get("access") == "tunnel" else (NETWORK,),
        "model": "qwen2.5vl:7b",
        "ollama_version": "0.33.0",
        "slots": 8,
        "num_ctx": 8192,
        "disk_gb": 100,
        "disk_throughput": 500,
        "idle_seconds": 900.0,
        "boot_seconds": 1200.0,
        "lifetime_seconds": 43_200.0,
        "base_ami_parameter": "/base/ami-id",
        **changed,
    }
    return Ec2Stack(**values)  # type: ignore[arg-type]  # a dictionary of all kinds
