"""Bring the SageMaker stack up, look at it, and take all of it down."""

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
from infra_scripts.common.errors import InUseError, LeftoverError, RequestError, StackError
from infra_scripts.common.linked_roles import ensure_linked_roles
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
    """What there is of an endpoint."""

    stack: str | None
    """CloudFormation's word for the stack; None if there is none."""
    endpoint: str | None
    """SageMaker's word for the endpoint; None if there is none."""
    why: str
    """What SageMaker says went wrong; empty if nothing did."""
    instances: int
    instance_type: str


def up(aws: Aws, stack: SagemakerStack, listener: Listener, *, poll_seconds: float = _POLL_SECONDS) -> Change:
    """Create or update the stack; it starts an instance, which AWS takes away again if it may.

    Raises:
        RequestError: there is an endpoint of the other kind, or the image is none that SageMaker takes.
        AccessError: AWS refuses.
        StackError: the stack could not be brought there; its first instance may run.
    """
    with explain_errors():
        made = Stack(aws, stack.name, listener, poll_seconds=poll_seconds)
        serving = made.outputs().get("Serving", stack.serving)
        if serving != stack.serving:
            raise RequestError(
                f"The endpoint is {serving}, and SageMaker cannot make it {stack.serving}. Take it down first: "
                "hearth infra down sagemaker."
            )
        _check_image(aws, stack)
        ensure_linked_roles(aws, LINKED_SERVICES, listener)
        listener("SageMaker starts the first instance, and waits until the model is warm: 10 to 20 minutes.")
        return made.deploy(request(stack))


def request(stack: SagemakerStack) -> StackRequest:
    """What CloudFormation is asked for."""
    return StackRequest(template(stack), parameters(stack), {"hearth:pool": stack.pool}, LINKED_SERVICES)


def _check_image(aws: Aws, stack: SagemakerStack) -> None:
    image = parse_image(stack.image)
    if image is None or image.region != aws.region:
        # https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ContainerDefinition.html
        raise RequestError(
            f"The image {stack.image} is not in ECR of {aws.region}, where SageMaker looks. Push it there."
        )
    check_image(aws, stack.image, SAGEMAKER_MEDIA_TYPES)


def down(aws: Aws, pool: str, listener: Listener, *, force: bool = False, poll_seconds: float = _POLL_SECONDS) -> None:
    """Delete the stack with its endpoint, and look that nothing that costs money is left.

    Raises:
        InUseError: runs hold slots of it, and `force` was not given.
        AccessError: AWS refuses.
        LeftoverError: something is left; it is named.
    """
    with explain_errors():
        made = Stack(aws, stack_name(pool), listener, poll_seconds=poll_seconds)
        outputs = made.outputs()
        if not force and (runs := _runs(aws, stack_name(pool))):
            raise InUseError(
                f"{runs} run{'s hold' if runs > 1 else ' holds'} slots of the endpoint hearth-{pool}. "
                "Wait until they have ended, or use --force."
            )
        failed = None
        try:
            _empty(aws, outputs.get("BucketName"))
            made.delete()
        except StackError as error:
            failed = str(error)
        for look in range(_LOOKS):
            left = _left(aws, pool, outputs.get("BucketName"))
            if failed or not left or look == _LOOKS - 1:
                break
            time.sleep(poll_seconds)
        if failed or left:
            raise LeftoverError(f"The endpoint hearth-{pool}", left, failed)


def status(aws: Aws, pool: str) -> Status:
    """What there is of it now.

    Raises:
        AccessError: AWS refuses.
    """
    with explain_errors():
        made = Stack(aws, stack_name(pool), lambda _: None)
        found, outputs = made.describe(), made.outputs()
        endpoint = _endpoint(aws, outputs.get("EndpointName", f"hearth-{pool}"))
    variants = endpoint.get("ProductionVariants", []) if endpoint else []
    return Status(
        stack=found["StackStatus"] if found else None,
        endpoint=endpoint["EndpointStatus"] if endpoint else None,
        why=endpoint.get("FailureReason", "") if endpoint else "",
        instances=sum(variant.get("CurrentInstanceCount", 0) for variant in variants),
        instance_type=outputs.get("InstanceType", ""),
    )


def _endpoint(aws: Aws, name: str) -> DescribeEndpointOutputTypeDef | None:
    try:
        return aws.session.client("sagemaker", config=aws.config).describe_endpoint(EndpointName=name)
    except ClientError as error:
        if error_code(error) in _MISSING:
            return None
        raise


def _runs(aws: Aws, table: str) -> int:
    """Runs whose claims in the slots' ledgers have not ended."""
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
    """CloudFormation deletes no bucket that holds something."""
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
    """What should be gone, and is not."""
    left = []
    endpoint = _endpoint(aws, f"hearth-{pool}")
    if endpoint is not None:
        left.append(f"endpoint hearth-{pool} ({endpoint['EndpointStatus']}), whose instances cost money")
    if bucket is not None:
        try:
            aws.session.client("s3", config=aws.config).head_bucket(Bucket=bucket)
            left.append(f"bucket {bucket}")
        except ClientError as error:
            if error_code(error) not in _MISSING:
                raise
    stack = Stack(aws, stack_name(pool), lambda _: None).describe()
    if stack is not None:
        left.append(f"stack {stack_name(pool)} ({stack['StackStatus']})")
    return tuple(left)
