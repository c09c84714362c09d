"""What the account allows, and has: quotas, the roles of services, the concurrency of functions, the container."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError

from infra_scripts.common.clients import code
from infra_scripts.common.names import partition
from infra_scripts.common.needs import Container, Needs, ServiceRole
from infra_scripts.doctor.case import Case
from infra_scripts.doctor.permissions import may
from tasks.aws.client import Aws as Asked
from tasks.aws.quotas import Quota, ec2_quota, endpoint_quota, fargate_quota, of_quotas
from tasks.core.finding import Finding, State

_DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
_TYPES = (
    _DOCKER,
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
)
_REBUILD = (
    "docker buildx build --platform linux/amd64 --provenance=false --sbom=false "
    "--output type=image,oci-mediatypes=false,push=true"
)
_ECR = re.compile(
    r"((?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?/)?"
    r"(?P<name>[a-z0-9._/-]+?)(:(?P<tag>[A-Za-z0-9._-]+))?(@(?P<digest>sha256:[0-9a-f]{64}))?"
)
# Lambda keeps some for functions without a reservation: 100 of a usual account, 10 of one that has few
# (https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html).
_LEFT, _LEFT_OF_FEW = 100, 10


def quotas(case: Case) -> Iterator[Finding]:
    """Compare the quotas, by their names in Service Quotas, with what one machine, task or instance takes."""
    for asked in asyncio.run(_quotas(case.needs, Asked(case.aws.region))):
        yield of_quotas(*asked)


async def _quotas(needs: Needs, aws: Asked) -> list[list[Quota]]:
    found = []
    if needs.machines is not None:
        kind = needs.machines.types[0]
        found.append([await ec2_quota(aws, market, kind) for market in needs.machines.markets])
    if needs.endpoint_type is not None:
        found.append([await endpoint_quota(aws, needs.endpoint_type)])
    if needs.fargate_vcpu:
        found.append([await fargate_quota(aws, needs.fargate_vcpu, spot=needs.fargate_spot)])
    return found


def roles(case: Case) -> Iterator[Finding]:
    """See which roles of AWS's services are there; one that is not is made by who may make it."""
    for role in case.needs.roles:
        yield _role(case, role)


def _role(case: Case, role: ServiceRole) -> Finding:
    try:
        case.aws.session.client("iam", config=case.aws.config).get_role(RoleName=role.name)
    except ClientError as error:
        if code(error) != "NoSuchEntity":
            raise
    else:
        return Finding(State.OK, f"The service-linked role {role.name} is there.")
    service = f"{role.service}.amazonaws.com"
    arn = f"arn:{partition(case.aws.region)}:iam::{case.account}:role/aws-service-role/{service}/{role.name}"
    allowed = may(case, "iam:CreateServiceLinkedRole", arn, {"iam:AWSServiceName": service})
    why = f"The service-linked role {role.name} is not there yet"
    if allowed:
        return Finding(State.OK, f"{why}, and may be made with the first use.")
    remedy = f"Have it made once: aws iam create-service-linked-role --aws-service-name {service}"
    return Finding(State.UNKNOWN if allowed is None else State.MISSING, f"{why}.", remedy)


def concurrency(case: Case) -> Iterator[Finding]:
    """See that the account's functions leave as many at once as are to be reserved."""
    wanted = case.needs.reserved_concurrency
    if not wanted:
        return
    client: Any = case.aws.session.client("lambda", config=case.aws.config)
    limit = client.get_account_settings()["AccountLimit"]
    most, free = limit["ConcurrentExecutions"], limit["UnreservedConcurrentExecutions"]
    told = f"The account runs {most} functions at once, {free} of them not reserved, and {wanted} are to be reserved"
    left = free - wanted
    if left >= _LEFT:
        yield Finding(State.OK, f"{told}.")
        return
    remedy = "Set HEARTH_TRIGGER__RESERVED_CONCURRENCY=0, or ask for more of `Concurrent executions` in Service Quotas."
    state = State.MISSING if left < _LEFT_OF_FEW else State.UNKNOWN
    yield Finding(state, f"{told}: Lambda keeps {_LEFT_OF_FEW} to {_LEFT} for others.", remedy)


def container(case: Case) -> Iterator[Finding]:
    """See that the image is in ECR, in a form that whoever runs it takes."""
    image = case.needs.container
    if image is None:
        return
    named = _ECR.fullmatch(image.uri)
    if named is None or (named["account"] is None and not image.made_after_up):
        yield Finding(State.UNKNOWN, f"The image {image.uri} is not in ECR, and was not looked at.")
        return
    client: Any = case.aws.session.client("ecr", config=case.aws.config, region_name=named["region"] or case.aws.region)
    wanted = {"imageDigest": named["digest"]} if named["digest"] else {"imageTag": named["tag"] or "latest"}
    owner = {"registryId": named["account"]} if named["account"] else {}
    try:
        found = client.batch_get_image(
            **owner, repositoryName=named["name"], imageIds=[wanted], acceptedMediaTypes=list(_TYPES)
        )["images"]
    except ClientError as error:
        if code(error) != "RepositoryNotFoundException":
            raise
        if image.made_after_up:
            yield Finding(State.OK, f"The repository of the image is made by `up`; the image follows: {image.build}.")
        else:
            yield Finding(
                State.MISSING, f"ECR has no repository {named['name']}.", f"Make it, and push: {image.build}."
            )
        return
    yield _judged(image, found)


def _judged(image: Container, found: list[dict[str, Any]]) -> Finding:
    if not found:
        return Finding(State.MISSING, f"ECR has no image {image.uri}.", f"Push it: {image.build}.")
    kind = found[0].get("imageManifestMediaType", "")
    if image.docker_types_alone and kind != _DOCKER:
        why = f"The image {image.uri} is of the type {kind or 'unknown'}, and SageMaker takes {_DOCKER} alone."
        return Finding(State.MISSING, why, f"Push it anew: {_REBUILD}")
    return Finding(State.OK, f"The image {image.uri} is in ECR ({kind}).")
