"""Every stack in every form that it is deployed in, as `hearth infra` makes it of settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flows.stacks.base import Deployment
from flows.stacks.registry import StackName, open_deployment
from infra_scripts.common.deployment import Options
from infra_scripts.iam.rendered import Place, Resource, render
from tasks.settings.settings import Settings

ACCOUNT = "123456789012"
LONGEST_POOL = "p1234567890abcdefghi"
NETWORK = ("10.20.0.0/16",)
_TRIGGER = {"bucket": "uploads", "image": "hearth:1"}
_TRIGGER_ARNS = {
    "alarm_topic": f"arn:aws:sns:us-east-1:{ACCOUNT}:told",
    "caller_policy": f"arn:aws:iam::{ACCOUNT}:policy/hearth-caller",
    "prefect_secret": f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:prefect-AbCdEf",
}
_SAGEMAKER = {"image": f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/hearth:1", "model_data": "s3://weights/store/"}
_MODELS = ("qwen2.5vl:7b", "gemma3:12b")
FORMS: Mapping[str, tuple[StackName, Mapping[str, Mapping[str, Any]]]] = {
    "ec2-private": (StackName.EC2, {"ec2_stack": {"access": "private"}}),
    "ec2-token": (StackName.EC2, {"ec2_stack": {"access": "token", "metrics": True}}),
    "ec2-tunnel": (StackName.EC2, {"ec2_stack": {"access": "tunnel"}}),
    "ecs-gpu": (StackName.ECS, {"ecs_stack": {"metrics": True}}),
    "ecs-fargate": (StackName.ECS, {"ecs_stack": {"capacity": "fargate"}}),
    "lambda-tasks": (StackName.LAMBDA, {"trigger": {**_TRIGGER, **_TRIGGER_ARNS}}),
    "lambda-prefect": (StackName.LAMBDA, {"trigger": {**_TRIGGER, "prefect_url": "https://prefect.example.org/api"}}),
    "lambda-reserving": (StackName.LAMBDA, {"trigger": {**_TRIGGER, "reserved_concurrency": 2}}),
    "monitoring": (StackName.MONITORING, {"monitoring": {"email": "a@example.org", "monthly_usd": 50}}),
    "sagemaker-async": (StackName.SAGEMAKER, {"sagemaker_stack": _SAGEMAKER}),
    "sagemaker-realtime": (
        StackName.SAGEMAKER,
        {"sagemaker_stack": {**_SAGEMAKER, "serving": "realtime", "models": _MODELS, "max_copies": 3}},
    ),
}


def deployment(form: str, *, pool: str = "default", region: str = "us-east-1") -> Deployment:
    """Return a stack in one of its forms."""
    name, changed = FORMS[form]
    settings = Settings.model_validate({"ec2": {"pool": pool}, "output": "s3://results/read", **changed})
    tunnel = changed.get("ec2_stack", {}).get("access") == "tunnel"
    allowed = NETWORK if name in {StackName.EC2, StackName.ECS} and not tunnel else ()
    return open_deployment(name, settings, Options(allow_from=allowed), region)


def place(made: Deployment, region: str = "us-east-1") -> Place:
    """Return where a stack is."""
    return Place(ACCOUNT, region, made.name)


def resources(form: str, *, pool: str = "default", region: str = "us-east-1") -> tuple[Resource, ...]:
    """Return what a stack is made of."""
    made = deployment(form, pool=pool, region=region)
    request = made.request()
    return render(request.template, request.parameters, place(made, region))
