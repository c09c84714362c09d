"""Check that machines could be launched: types in the subnets' zones, image, disk and EC2's permissions."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from botocore.exceptions import ClientError

from infra_scripts.common.clients import error_code, error_message
from infra_scripts.common.errors import RequestError
from infra_scripts.common.needs import Machines
from infra_scripts.common.network import check_balancer_subnets, check_disk_size
from infra_scripts.common.parameters import read_parameter
from infra_scripts.doctor.case import Case
from tasks.core.finding import Finding, State

_DRY = "DryRunOperation"


def zones(case: Case) -> Iterator[Finding]:
    """Check that an instance type is offered in the zones of the subnets."""
    parameters = case.request.parameters
    if "Subnets" not in parameters:
        return
    subnets = case.aws.ec2.describe_subnets(SubnetIds=parameters["Subnets"].split(","))["Subnets"]
    available = sorted({subnet["AvailabilityZone"] for subnet in subnets})
    if case.needs.balancer_subnets_setting:
        try:
            check_balancer_subnets(
                case.aws, tuple(parameters["Subnets"].split(",")), case.needs.balancer_subnets_setting
            )
        except RequestError as error:
            yield Finding(State.MISSING, str(error))
    if case.needs.machines is not None:
        yield _offered(case, case.needs.machines, available)


def _offered(case: Case, machines: Machines, available: list[str]) -> Finding:
    filters: Any = [{"Name": "instance-type", "Values": list(machines.types)}]
    pages = case.aws.ec2.get_paginator("describe_instance_type_offerings").paginate(
        LocationType="availability-zone", Filters=filters
    )
    offered: dict[str, set[str]] = {kind: set() for kind in machines.types}
    for page in pages:
        for offering in page["InstanceTypeOfferings"]:
            if offering["Location"] in available:
                offered.setdefault(offering["InstanceType"], set()).add(offering["Location"])
    table = "; ".join(f"{kind} in {', '.join(sorted(offered[kind])) or 'none'}" for kind in machines.types)
    if not any(offered[kind] for kind in machines.types):
        why = f"No instance type is offered in the zones of the subnets ({', '.join(available)}): {table}."
        return Finding(State.MISSING, why, "Choose other types, subnets in other zones, or another region.")
    return Finding(State.OK, f"Instance types by zone: {table}.")


def images(case: Case) -> Iterator[Finding]:
    """Check that the image's parameter exists, and that the disk is as large as the image's snapshot."""
    machines = case.needs.machines
    if machines is None:
        return
    ami = read_parameter(case.aws, machines.ami_parameter)
    if ami is None:
        why = f"The SSM parameter {machines.ami_parameter} does not exist in {case.aws.region}."
        yield Finding(State.MISSING, why, f"Set {machines.ami_setting} to one that names an image in this region.")
        return
    yield Finding(State.OK, f"The SSM parameter {machines.ami_parameter} names {ami}.")
    used = case.request.parameters.get("AmiId", ami)
    if not _exists(case, used):
        why = f"The image {used} does not exist, or this account may not use it."
        yield Finding(State.MISSING, why, f"Correct {machines.ami_setting}.")
        return
    try:
        check_disk_size(case.aws, used, machines.disk_gb, machines.disk_setting)
    except RequestError as error:
        yield Finding(State.MISSING, str(error))
    else:
        yield Finding(State.OK, f"The disk of {machines.disk_gb} GB is large enough for the snapshot of {used}.")


def _exists(case: Case, ami: str) -> bool:
    try:
        return bool(case.aws.ec2.describe_images(ImageIds=[ami])["Images"])
    except ClientError as error:
        if error_code(error).startswith("InvalidAMIID"):
            return False
        raise


def dry_run(case: Case) -> Iterator[Finding]:
    """Let EC2 check the permissions of two requests by a dry run."""
    if case.needs.machines is None:
        return
    vpc, name, tags = case.request.parameters["VpcId"], f"{case.name}-doctor", case.request.tags
    data: Any = {"ImageId": case.request.parameters["AmiId"], "InstanceType": case.needs.machines.types[0]}
    ec2 = case.aws.ec2
    calls: dict[str, Callable[[], object]] = {
        "CreateSecurityGroup": lambda: ec2.create_security_group(
            GroupName=name,
            Description="Hearth",
            VpcId=vpc,
            TagSpecifications=_tags("security-group", tags),
            DryRun=True,
        ),
        "CreateLaunchTemplate": lambda: ec2.create_launch_template(
            LaunchTemplateName=name,
            LaunchTemplateData=data,
            TagSpecifications=_tags("launch-template", tags),
            DryRun=True,
        ),
    }
    for operation, call in calls.items():
        yield _tried(operation, call, case)


def _tags(kind: str, tags: Mapping[str, str]) -> Any:  # noqa: ANN401 - a list of botocore's
    return [{"ResourceType": kind, "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}]


def _tried(operation: str, call: Callable[[], object], case: Case) -> Finding:
    try:
        call()
    except ClientError as error:
        if error_code(error) == _DRY:
            return Finding(State.OK, f"EC2 would permit {operation}.")
        if error_code(error) == "UnauthorizedOperation":
            remedy = f"`hearth infra policy deployer {case.stack}` prints the permissions that are needed."
            return Finding(State.MISSING, f"EC2 does not permit {operation} with the tags of the stack.", remedy)
        return Finding(State.MISSING, f"EC2 refuses {operation}: {error_message(error)} ({error_code(error)}).")
    return Finding(State.UNKNOWN, f"EC2 executed the dry run of {operation}.", "Check what it created.")
