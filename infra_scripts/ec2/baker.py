"""The machine that bakes: launched where there is room, watched until it serves, and ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from botocore.exceptions import ClientError

from infra_scripts.common.clients import Aws, Listener, error_code, error_message, explain_errors
from infra_scripts.common.errors import BakeError, InfraError, RequestError
from infra_scripts.common.instances import BAKE_TAG, POOL_TAG, machines, terminate
from infra_scripts.common.names import POOL
from infra_scripts.common.network import base_image
from infra_scripts.ec2.pool import BASE_IMAGE

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import InstanceTypeDef, ReservationResponseTypeDef

_LOG_LINES = 40
_NO_CAPACITY = ("Insufficient", "Unsupported", "InstanceLimit", "VcpuLimit", "MaxSpot")


@dataclass(frozen=True)
class Bake:
    """How an image is baked."""

    pool: str
    types: tuple[str, ...]
    """The instance types to try, in this order: with a GPU if the pool's machines have one."""
    base_ami_parameter: str
    serving_seconds: float = 2700.0
    """How long the machine may take to install Ollama and pull the model."""
    settling_seconds: float = 180.0
    """For so long EC2 may not know an instance profile that was just made."""
    poll_seconds: float = 5.0

    def __post_init__(self) -> None:
        """Refuse what is not a pool.

        Raises:
            RequestError: the name is not one of a pool, or there is no type.
        """
        if not POOL.fullmatch(self.pool) or not self.types:
            raise RequestError(f"{self.pool!r} is not the name of a pool, or no instance type was given.")


def launch_baker(aws: Aws, how: Bake, outputs: dict[str, str], listener: Listener) -> str:
    """Launch where there is room: each type in each subnet, until one is to be had."""
    base = base_image(aws, how.base_ami_parameter, *BASE_IMAGE)
    refused = ""
    for instance_type in how.types:
        for subnet in outputs["Subnets"].split(","):
            try:
                launched = _run(
                    aws,
                    how,
                    listener,
                    LaunchTemplate={
                        "LaunchTemplateId": outputs["LaunchTemplateId"],
                        "Version": outputs["LaunchTemplateVersion"],
                    },
                    ImageId=base,
                    InstanceType=instance_type,
                    SubnetId=subnet,
                    MinCount=1,
                    MaxCount=1,
                    # The template's own tag is overwritten, so that not even for a moment it is a machine of the pool.
                    TagSpecifications=[
                        {
                            "ResourceType": "instance",
                            "Tags": [
                                {"Key": BAKE_TAG, "Value": how.pool},
                                {"Key": POOL_TAG, "Value": ""},
                                {"Key": "Name", "Value": f"hearth-{how.pool}-bake"},
                            ],
                        }
                    ],
                )
            except ClientError as error:
                if not error_code(error).startswith(
                    ("Insufficient", "Unsupported", "InstanceLimit", "VcpuLimit", "MaxSpot")
                ):
                    raise
                refused = f"{instance_type} in {subnet}: {error_message(error)}"
                listener(f"Not to be had: {refused}.")
                continue
            machine = launched["Instances"][0]["InstanceId"]
            listener(f"Launched {machine} ({instance_type}, on demand) from {base}.")
            return machine
    raise BakeError(
        f"No machine is to be had for the bake; the last answer was for {refused}. Try later, or other types."
    )


def _run(aws: Aws, how: Bake, listener: Listener, **asked: object) -> ReservationResponseTypeDef:
    """RunInstances, asked again while EC2 does not know the stack's instance profile: IAM tells it in its own time."""
    deadline = time.monotonic() + how.settling_seconds
    run: Callable[..., ReservationResponseTypeDef] = aws.ec2.run_instances
    while True:
        try:
            return run(**asked)
        except ClientError as error:
            new = "invalid iam instance profile" in error_message(error).lower()
            if error_code(error) != "InvalidParameterValue" or not new or time.monotonic() > deadline:
                raise
            listener("EC2 does not know the new instance profile yet; asking again.")
            time.sleep(how.poll_seconds)


def wait_until_serving(aws: Aws, how: Bake, machine: str, log_group: str, listener: Listener) -> None:
    """Wait until the machine says that it serves.

    Raises:
        BakeError: it says that it failed, went away, or takes too long; the end of its log is told.
    """
    deadline = time.monotonic() + how.serving_seconds
    untagged, told_stage = False, ""
    while True:
        found = _describe(aws, machine)
        if found is not None:
            if not untagged:
                aws.ec2.delete_tags(Resources=[machine], Tags=[{"Key": POOL_TAG}])
                untagged = True
            tags = {tag["Key"]: tag["Value"] for tag in found.get("Tags", [])}
            stage, state = tags.get("hearth:stage", ""), found["State"]["Name"]
            if stage and stage != told_stage:
                listener(f"{machine}: {stage}")
                told_stage = stage
            if stage == "serving":
                return
            if stage.startswith("failed"):
                _fail(aws, machine, log_group, f"The machine {machine} {stage}.")
            if state not in {"pending", "running"}:
                _fail(
                    aws,
                    machine,
                    log_group,
                    f"The machine {machine} is {state}{_why(found)}; it had got to: {stage or 'nothing'}.",
                )
        if time.monotonic() > deadline:
            why = f"The machine {machine} did not serve in {how.serving_seconds / 60:g} minutes"
            _fail(aws, machine, log_group, f"{why}; it had got to: {told_stage or 'nothing'}.")
        time.sleep(how.poll_seconds)


def _describe(aws: Aws, machine: str) -> InstanceTypeDef | None:
    """The instance; None while AWS does not know its own machine yet."""
    try:
        return aws.ec2.describe_instances(InstanceIds=[machine])["Reservations"][0]["Instances"][0]
    except ClientError as error:
        if error_code(error) == "InvalidInstanceID.NotFound":
            return None
        raise
    except IndexError:
        return None


def _why(instance: InstanceTypeDef) -> str:
    """What EC2 says of its state, in brackets."""
    told = instance.get("StateReason", {}).get("Message", "").rstrip(". ")
    return f" ({told})" if told else ""


def _fail(aws: Aws, machine: str, log_group: str, why: str) -> NoReturn:
    log = log_tail(aws, machine, log_group)
    shown = f" The end of its log:\n{log}" if log else " It left no log."
    raise BakeError(f"{why} No image was made, the old one stands.{shown}")


def log_tail(aws: Aws, machine: str, log_group: str) -> str:
    """The end of what a machine said while it booted: from the log group, or else from its console."""
    try:
        events = aws.logs.get_log_events(logGroupName=log_group, logStreamName=machine, limit=_LOG_LINES)["events"]
        lines = [event.get("message", "") for event in events]
    except ClientError:
        lines = []
    if not lines:
        try:
            lines = aws.ec2.get_console_output(InstanceId=machine).get("Output", "").splitlines()
        except ClientError:
            return ""
    return "\n".join(lines[-_LOG_LINES:])


def check_no_other_bake(aws: Aws, pool: str) -> None:
    """See that nobody bakes for the pool already.

    Raises:
        RequestError: somebody does.
    """
    found = machines(aws, pool, BAKE_TAG)
    if found:
        raise RequestError(
            f"A machine bakes for the pool {pool} already: {', '.join(map(str, found))}. "
            "Wait until it is done, or terminate it if its `hearth infra bake` is gone."
        )


def terminate_baker(aws: Aws, how: Bake, machine: str | None, listener: Listener) -> None:
    """Terminate the machine, also one whose launch was interrupted before its id was known."""
    try:
        with explain_errors():
            ids = {found.id for found in machines(aws, how.pool, BAKE_TAG)} | ({machine} if machine else set())
            terminate(aws, sorted(ids), listener, poll_seconds=how.poll_seconds)
    except InfraError as error:
        listener(
            f"A machine tagged {BAKE_TAG}={how.pool} may still run: {error} It ends itself; terminate it to be sure."
        )
