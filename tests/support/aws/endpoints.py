"""What `hearth infra up sagemaker` would have made, without its code; the endpoint answers by the front's layer."""

from __future__ import annotations

import json

from tests.support.aws.buckets import BUCKET, make_bucket
from tests.support.aws.container import MODEL, Container
from tests.support.aws.front import AwsFront
from tests.support.aws.sagemaker import Endpoint
from tests.support.aws.tables import make_table

COMPONENT = "hearth-default-1"
ANOTHER = "gemma3:12b"


def make_endpoint(
    aws: AwsFront, container: Container, *, slots: int = 2, queued: bool = False, **settings: object
) -> Endpoint:
    """The stack, its table and endpoint; the bucket of an asynchronous one, and a real-time one's components."""
    name = "hearth-default"
    control = aws.behind("sagemaker")
    role = "arn:aws:iam::123456789012:role/simulated"
    control.create_model(ModelName=name, ExecutionRoleArn=role, PrimaryContainer={"Image": "simulated"})
    variant = {"VariantName": "all", "ModelName": name, "InitialInstanceCount": 1, "InstanceType": "ml.g4dn.xlarge"}
    control.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    control.create_endpoint(EndpointName=name, EndpointConfigName=name)
    make_table(aws.behind("dynamodb"), "hearth-sagemaker-default")
    outputs = {
        "EndpointName": name,
        "Models": json.dumps({MODEL: ""} if queued else {ANOTHER: "hearth-default-0", MODEL: COMPONENT}),
        "TableName": "hearth-sagemaker-default",
        "InstanceType": "ml.g4dn.xlarge",
        "Slots": str(slots),
        "MinCopies": "0",
    }
    if queued:
        make_bucket(aws)
        outputs["BucketName"] = BUCKET
    body = {
        "Resources": {"Logs": {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": name}}},
        "Outputs": {key: {"Value": value} for key, value in outputs.items()},
    }
    aws.behind("cloudformation").create_stack(StackName="hearth-sagemaker-default", TemplateBody=json.dumps(body))
    endpoint = Endpoint(container.url, component=None if queued else COMPONENT, **settings)
    aws.sagemaker.endpoints[name] = endpoint
    return endpoint
