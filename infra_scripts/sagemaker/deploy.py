"""Deploy the SageMaker stack, delete it, and report its state."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from infra_scripts.common.clients import Aws, Listener, error_code, explain_errors
from infra_scripts.common.cloudformation import Change, Stack
from infra_scripts.common.container_images import SAGEMAKER_MEDIA_TYPES, check_image, parse_image
from infra_scripts.common.deployment import StackRequest
from infra_scripts.common.errors import InUseError, RequestError
from infra_scripts.common.linked_roles import ensure_linked_roles
from infra_scripts.common.teardown import verify_deletion
from infra_scripts.sagemaker.endpoint import SagemakerStack, parameters, stack_name, template

if TYPE_CHECKING:
    from mypy_boto3_sagemaker.type_defs import DescribeEndpointOutputTypeDef

LINKED_SERVICES = ("sagemaker.application-autoscaling.amazonaws.com",)
"""The service that scales the endpoint."""
_POLL_SECONDS = 5.0
_LOOKS = 5
_MISSING = {"ValidationException", "ResourceNotFoundException", "NoSuchBucket", "404"}


@dataclass(frozen=True)
class Status:
    """The state of an endpoint."""

    stack: str | None
    """CloudFormation's status of the stack; None if it does not exist."""
    endpoint: str | None
    """SageMaker's status of the endpoint; None if it does not exist."""
    why: str
    """SageMaker's reason for a failure; empty without one."""
    instances: int
    instance_type: str


def up(aws: Aws, stack: SagemakerStack, listener: Listener, *, poll_seconds: float = _POLL_SECONDS) -> Change:
    """Create or update the stack. It starts an instance, which AWS removes again if scaling to zero is allowed.

    Raises:
        RequestError: an endpoint of the other kind exists, or SageMaker does not accept the image.
        AccessError: AWS refused a request.
        StackError: the stack was not created or updated; its first instance may run.
    """
    with explain_errors():
        deployed = Stack(aws, stack.name, listener, poll_seconds=poll_seconds)
        serving = deployed.outputs().get("Serving", stack.serving)
        if serving != stack.serving:
            raise RequestError(
                f"The endpoint is {serving}, and SageMaker cannot change it to {stack.serving}. Delete it first: "
                "hearth infra down sagemaker."
            )
        _check_image(aws, stack)
        ensure_linked_roles(aws, LINKED_SERVICES, listener)
        listener("SageMaker starts the first instance and waits until the model is warm, which takes 10 to 20 minutes.")
        return deployed.deploy(request(stack))


def request(stack: SagemakerStack) -> StackRequest:
    """Return the request to CloudFormation."""
    return StackRequest(template(stack), parameters(stack), {"hearth:pool": stack.pool}, LINKED_SERVICES)


def _check_image(aws: Aws, stack: SagemakerStack) -> None:
    image = parse_image(stack.image)
    if image is None or image.region != aws.region:
        # https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ContainerDefinition.html
        raise RequestError(
            f"The image {stack.image} is not in ECR in {aws.region}, where SageMaker needs it. Push it there."
        )
    check_image(aws, stack.image, SAGEMAKER_MEDIA_TYPES)


def down(aws: Aws, pool: str, listener: Listener, *, force: bool = False, poll_seconds: float = _POLL_SECONDS) -> None:
    """Delete the stack with its endpoint, and check that nothing that costs money is left.

    Raises:
        InUseError: runs hold slots of the endpoint, and `force` is False.
        AccessError: AWS refused a request.
        LeftoverError: something is left; it is named.
    """
    with explain_errors():
        stack = Stack(aws, stack_name(pool), listener, poll_seconds=poll_seconds)
        bucket = stack.outputs().get("BucketName")
        if not force and (runs := _runs(aws, stack.name)):
            raise InUseError(
                f"{runs} run{'s hold' if runs > 1 else ' holds'} slots of the endpoint hearth-{pool}. "
                "Wait until they have ended, or use --force."
            )

        def delete() -> None:
            _empty(aws, bucket)
            stack.delete()

        def left() -> tuple[str, ...]:
            return _left(aws, pool, bucket)

        verify_deletion(f"The endpoint hearth-{pool}", delete, left, looks=_LOOKS, poll_seconds=poll_seconds)


def status(aws: Aws, pool: str) -> Status:
    """Return the current state.

    Raises:
        AccessError: AWS refused a request.
    """
    with explain_errors():
        stack = Stack(aws, stack_name(pool))
        state, outputs = stack.status(), stack.outputs()
        endpoint = find_endpoint(aws, outputs.get("EndpointName", f"hearth-{pool}"))
    variants = endpoint.get("ProductionVariants", []) if endpoint else []
    return Status(
        stack=state,
        endpoint=endpoint["EndpointStatus"] if endpoint else None,
        why=endpoint.get("FailureReason", "") if endpoint else "",
        instances=sum(variant.get("CurrentInstanceCount", 0) for variant in variants),
        instance_type=outputs.get("InstanceType", ""),
    )


def find_endpoint(aws: Aws, name: str) -> DescribeEndpointOutputTypeDef | None:
    """Return SageMaker's description of an endpoint; None if it does not exist."""
    try:
        return aws.session.client("sagemaker", config=aws.config).describe_endpoint(EndpointName=name)
    except ClientError as error:
        if error_code(error) in _MISSING:
            return None
        raise


def _runs(aws: Aws, table: str) -> int:
    """Return the number of runs whose slot claims have not ended."""
    now = time.time()
    try:
        pages = aws.session.client("dynamodb", config=aws.config).get_paginator("scan").paginate(TableName=table)
        items: list[dict[str, Any]] = [item for page in pages for item in page["Items"]]
    except ClientError as error:
        if error_code(error) in _MISSING:
            return 0
        raise
    return sum(claim["ends_at"] > now for item in items for claim in _claims(item))


def _claims(item: dict[str, Any]) -> Iterable[dict[str, Any]]:
    try:
        claims: dict[str, dict[str, Any]] = json.loads(item["ledger"]["S"])["claims"]
    except (KeyError, ValueError):
        return ()
    return claims.values()


def _empty(aws: Aws, bucket: str | None) -> None:
    """Delete the objects of a bucket: CloudFormation deletes only empty buckets."""
    if bucket is None:
        return
    s3 = aws.session.client("s3", config=aws.config)
    try:
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            keys = [{"Key": item["Key"]} for item in page.get("Contents", [])]
            if keys:
                s3.delete_objects(Bucket=bucket, Delete={"Objects": keys, "Quiet": True})  # type: ignore[typeddict-item] # a key alone is one
    except ClientError as error:
        if error_code(error) not in _MISSING:
            raise


def _left(aws: Aws, pool: str, bucket: str | None) -> tuple[str, ...]:
    """Return what is left and should be gone."""
    left = []
    endpoint = find_endpoint(aws, f"hearth-{pool}")
    if endpoint is not None:
        left.append(f"endpoint hearth-{pool} ({endpoint['EndpointStatus']}), whose instances cost money")
    if bucket is not None:
        try:
            aws.session.client("s3", config=aws.config).head_bucket(Bucket=bucket)
            left.append(f"bucket {bucket}")
        except ClientError as error:
            if error_code(error) not in _MISSING:
                raise
    if (status := Stack(aws, stack_name(pool)).status()) is not None:
        left.append(f"stack {stack_name(pool)} ({status})")
    return tuple(left)
