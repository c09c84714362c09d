"""What the account allows, and has: quotas, the roles of services, the concurrency of functions, the container."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from botocore.exceptions import ClientError

from infra_scripts.common.clients import error_code
from infra_scripts.common.cloudformation import Stack
from infra_scripts.common.container_images import BUILD_REMEDY, find_image, parse_image
from infra_scripts.common.names import partition
from infra_scripts.common.needs import Needs
from infra_scripts.doctor.case import Case
from infra_scripts.doctor.permissions import is_allowed
from tasks.aws.client import Aws as Asked
from tasks.aws.quotas import Quota, ec2_quota, endpoint_quota, fargate_quota, of_quotas
from tasks.core.finding import Finding, State

# As the services' own documents name them: https://docs.aws.amazon.com/IAM/latest/UserGuide/
# reference_aws-services-that-work-with-iam.html leads to each.
_ROLES = {
    "autoscaling.amazonaws.com": "AWSServiceRoleForAutoScaling",
    "ec2fleet.amazonaws.com": "AWSServiceRoleForEC2Fleet",
    "ecs.amazonaws.com": "AWSServiceRoleForECS",
    "ecs.application-autoscaling.amazonaws.com": "AWSServiceRoleForApplicationAutoScaling_ECSService",
    "elasticloadbalancing.amazonaws.com": "AWSServiceRoleForElasticLoadBalancing",
    "sagemaker.application-autoscaling.amazonaws.com": "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint",
    "spot.amazonaws.com": "AWSServiceRoleForEC2Spot",
}
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
    for service in case.request.linked_services:
        yield _role(case, service, _ROLES[service])


def _role(case: Case, service: str, role: str) -> Finding:
    try:
        case.client("iam").get_role(RoleName=role)
    except ClientError as error:
        if error_code(error) != "NoSuchEntity":
            raise
    else:
        return Finding(State.OK, f"The service-linked role {role} is there.")
    arn = f"arn:{partition(case.aws.region)}:iam::{case.account}:role/aws-service-role/{service}/{role}"
    allowed = is_allowed(case, "iam:CreateServiceLinkedRole", arn, {"iam:AWSServiceName": service})
    why = f"The service-linked role {role} is not there yet"
    if allowed:
        return Finding(State.OK, f"{why}: `up` makes it.")
    remedy = f"Have it made once: aws iam create-service-linked-role --aws-service-name {service}"
    return Finding(State.UNKNOWN if allowed is None else State.MISSING, f"{why}.", remedy)


def concurrency(case: Case) -> Iterator[Finding]:
    """See that the account's functions leave as many at once as are to be reserved."""
    wanted = case.needs.reserved_concurrency
    if not wanted:
        return
    limit = case.client("lambda").get_account_settings()["AccountLimit"]
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
    """See that the image is in ECR, with a manifest that whoever runs it takes."""
    wanted = case.needs.container
    if wanted is None:
        return
    registry = f"{case.account}.dkr.ecr.{case.aws.region}.amazonaws.com/" if wanted.in_stack_repository else ""
    image = parse_image(registry + wanted.name)
    if image is None:
        yield Finding(State.UNKNOWN, f"The image {wanted.name} is not in ECR, and was not looked at.")
        return
    found = find_image(case.aws, image)
    if found is None and wanted.in_stack_repository and Stack(case.aws, case.name, lambda _: None).describe() is None:
        yield Finding(State.OK, f"`up` makes the repository of the image; push it afterwards: {wanted.build}.")
    elif found is None:
        yield Finding(State.MISSING, f"ECR has no image {image.name}.", f"Push it: {wanted.build}.")
    elif found.media_type not in wanted.media_types:
        told = f"The manifest of {image.name} is of the type {found.media_type or 'not known'}, which is refused."
        yield Finding(State.MISSING, told, BUILD_REMEDY)
    else:
        yield Finding(State.OK, f"The image {image.name} is in ECR ({found.media_type}).")
