"""An ECS service's values for tests."""

from __future__ import annotations

from infra_scripts.ecs.service import EcsStack

AMI_PARAMETER = "/base/ami-id"


def service(**changed: object) -> EcsStack:
    """The default service, with some of its values changed."""
    values: dict[str, object] = {
        **{"pool": "default", "region": "us-east-1", "capacity": "gpu", "allow_from": ("10.20.0.0/16",)},
        **{"types": ("g4dn.xlarge", "g5.xlarge"), "on_demand_base": 1, "on_demand_percent": 0},
        **{"fargate_vcpu": 4, "fargate_gb": 16, "model": "qwen2.5vl:7b", "ollama_version": "0.33.0"},
        **{"slots": 4, "num_ctx": 8192, "max_tasks": 4, "pages_per_slot": 20.0, "idle_minutes": 10},
        **{"disk_gb": 100, "ami_parameter": AMI_PARAMETER, "metrics": False},
        **changed,
    }
    return EcsStack(**values)  # type: ignore[arg-type]  # a dictionary of all kinds
