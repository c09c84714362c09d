"""Checks of the account: quotas, service-linked roles, the concurrency of functions, and the container image."""

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
from tasks.aws.client import Aws as QuotaClient
from tasks.aws.quotas import Quota, ec2_quota, endpoint_quota, fargate_quota, of_quotas
from tasks.core.finding import Finding, State

# Names from the services' documents, which are linked at https://docs.aws.amazon.com/IAM/latest/UserGuide/
# reference_aws-services-that-work-with-iam.html.
_ROLES = {
    "autoscaling.amazonaws.com": "AWSServiceRoleForAutoScaling",
    "ec2fleet.amazonaws.com": "AWSServiceRoleForEC2Fleet",
    "ecs.amazonaws.com": "AWSServiceRoleForECS",
    "ecs.application-autoscaling.amazonaws.com": "AWSServiceRoleForApplicationAutoScaling_ECSService",
    "elasticloadbalancing.amazonaws.com": "AWSServiceRoleForElasticLoadBalancing",
    "sagemaker.application-autoscaling.amazonaws.com": "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint",
    "spot.amazonaws.com": "AWSServiceRoleForEC2Spot",
}
# Lambda keeps this concurrency for functions without a reservation: 100 of a usual account, 10 of a small one
# (https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html).
_UNRESERVED, _UNRESERVED_OF_SMALL = 100, 10


def quotas(case: Case) -> Iterator[Finding]:
    """Compare the quotas in Service Quotas with the requirements of one machine, task or instance."""
    for alternatives in asyncio.run(_quotas(case.needs, QuotaClient(case.aws.region))):
        yield of_quotas(*alternatives)


async def _quotas(needs: Needs, aws: QuotaClient) -> list[list[Quota]]:
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
    """Check the service-linked roles; `up` creates a missing one if that is permitted."""
    for service in case.request.linked_services:
        yield _role(case, service, _ROLES[service])


def _role(case: Case, service: str, role: str) -> Finding:
    try:
        case.client("iam").get_role(RoleName=role)
    except ClientError as error:
        if error_code(error) != "NoSuchEntity":
            raise
    else:
        return Finding(State.OK, f"The service-linked role {role} exists.")
    arn = f"arn:{partition(case.aws.region)}:iam::{case.account}:role/aws-service-role/{service}/{role}"
    allowed = is_allowed(case, "iam:CreateServiceLinkedRole", arn, {"iam:AWSServiceName": service})
    why = f"The service-linked role {role} does not exist yet"
    if allowed:
        return Finding(State.OK, f"{why}: `up` creates it.")
    remedy = f"Have it created once: aws iam create-service-linked-role --aws-service-name {service}"
    return Finding(State.UNKNOWN if allowed is None else State.MISSING, f"{why}.", remedy)


def concurrency(case: Case) -> Iterator[Finding]:
    """Check that the account has enough unreserved concurrency for the function's reservation."""
    requested = case.needs.reserved_concurrency
    if not requested:
        return
    limit = case.client("lambda").get_account_settings()["AccountLimit"]
    total, free = limit["ConcurrentExecutions"], limit["UnreservedConcurrentExecutions"]
    facts = f"The account runs up to {total} functions, {free} of them unreserved, and the trigger reserves {requested}"
    left = free - requested
    if left >= _UNRESERVED:
        yield Finding(State.OK, f"{facts}.")
        return
    remedy = "Set HEARTH_TRIGGER__RESERVED_CONCURRENCY=0, or request more `Concurrent executions` in Service Quotas."
    state = State.MISSING if left < _UNRESERVED_OF_SMALL else State.UNKNOWN
    yield Finding(state, f"{facts}: Lambda keeps {_UNRESERVED_OF_SMALL} to {_UNRESERVED} for others.", remedy)


def container(case: Case) -> Iterator[Finding]:
    """Check that the image is in ECR, with an accepted type of manifest."""
    needed = case.needs.container
    if needed is None:
        return
    registry = f"{case.account}.dkr.ecr.{case.aws.region}.amazonaws.com/" if needed.in_stack_repository else ""
    image = parse_image(registry + needed.name)
    if image is None:
        yield Finding(State.UNKNOWN, f"The image {needed.name} is not in ECR, and was not checked.")
        return
    found = find_image(case.aws, image)
    if found is None and needed.in_stack_repository and Stack(case.aws, case.name).status() is None:
        yield Finding(State.OK, f"`up` creates the repository of the image; push it afterwards: {needed.build}.")
    elif found is None:
        yield Finding(State.MISSING, f"ECR has no image {image.name}.", f"Push it: {needed.build}.")
    elif found.media_type not in needed.media_types:
        why = f"The manifest of {image.name} has the type {found.media_type or 'unknown'}, which is refused."
        yield Finding(State.MISSING, why, BUILD_REMEDY)
    else:
        yield Finding(State.OK, f"The image {image.name} is in ECR ({found.media_type}).")
