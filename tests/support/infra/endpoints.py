"""An endpoint's values for tests, and its template as far as moto understands it."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

from infra_scripts.sagemaker.endpoint import SagemakerStack, template
from tests.support.infra.linted import decode

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/hearth:1"
# FILLED: moto's CloudFormation makes none of these; their properties are judged by cfn-lint alone.
BEYOND_MOTO = {
    "AWS::ApplicationAutoScaling::ScalableTarget",
    "AWS::ApplicationAutoScaling::ScalingPolicy",
    "AWS::CloudWatch::Alarm",
    "AWS::SageMaker::InferenceComponent",
}


def endpoint(**changed: object) -> SagemakerStack:
    """The default endpoint, with some of its values changed."""
    return SagemakerStack(**{"pool": "default", "region": "us-east-1", "image": IMAGE, **changed})


def parsed(stack: SagemakerStack) -> dict[str, Any]:
    """The template."""
    found, errors = decode(template(stack))
    assert not errors
    return found


def for_moto(stack: SagemakerStack) -> str:
    """The template without what moto cannot make."""
    body = deepcopy(parsed(stack))
    body["Resources"] = {name: one for name, one in body["Resources"].items() if one["Type"] not in BEYOND_MOTO}
    # FILLED: moto knows no variant without a model, as those are that hold inference components.
    (variant,) = body["Resources"]["EndpointConfig"]["Properties"]["ProductionVariants"]
    variant["ModelName"] = {"Fn::GetAtt": ["Model0", "ModelName"]}
    # FILLED: moto keeps an AWS::NoValue in a list, where CloudFormation drops it.
    holds = {"Async": stack.serving == "async", "ModelData": bool(stack.model_data)}
    role = body["Resources"]["Role"]["Properties"]
    role["Policies"] = [
        one["Fn::If"][1] if "Fn::If" in one else one
        for one in role["Policies"]
        if "Fn::If" not in one or holds[one["Fn::If"][0]]
    ]
    return json.dumps(body)
