"""The machine that bakes an image: launched where there is capacity, watched until it serves, and terminated."""

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
    """The parameters of a bake."""

    pool: str
    types: tuple[str, ...]
    """Instance types in the order of attempts; they have a GPU if the pool's machines have one."""
    base_ami_parameter: str
    serving_seconds: float = 2700.0
    """Longest time to install Ollama and pull the model."""
    settling_seconds: float = 180.0
    """Longest time until EC2 knows a new instance profile."""
    poll_seconds: float = 5.0

    def __post_init__(self) -> None:
        """Check the pool and the types.

        Raises:
            RequestError: the name is not valid for a pool, or there is no type.
        """
        if not POOL.fullmatch(self.pool) or not self.types:
            raise RequestError(
                f"The pool name {self.pool!r} is not valid, or there is no instance type. Set HEARTH_EC2__POOL and "
                "HEARTH_EC2__TYPES."
            )


def launch_baker(aws: Aws, how: Bake, outputs: dict[str, str], listener: Listener) -> str:
    """Launch the machine: try each type in each subnet until one has capacity."""
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
                    # The template's pool tag is overwritten, so that the machine never counts as one of the pool.
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
                if not error_code(error).startswith(_NO_CAPACITY):
                    raise
                refused = f"{instance_type} in {subnet}: {error_message(error)}"
                listener(f"No capacity: {refused}.")
                continue
            machine = launched["Instances"][0]["InstanceId"]
            listener(f"Launched {machine} ({instance_type}, on demand) from {base}.")
            return machine
    raise BakeError(
        f"EC2 has no capacity for the bake; its last response was for {refused}. Try again later, or with other types."
    )


def _run(aws: Aws, how: Bake, listener: Listener, **arguments: object) -> ReservationResponseTypeDef:
    """Call RunInstances, again while EC2 does not know the stack's new instance profile yet."""
    deadline = time.monotonic() + how.settling_seconds
    run: Callable[..., ReservationResponseTypeDef] = aws.ec2.run_instances
    while True:
        try:
            return run(**arguments)
        except ClientError as error:
            new = "invalid iam instance profile" in error_message(error).lower()
            if error_code(error) != "InvalidParameterValue" or not new or time.monotonic() > deadline:
                raise
            listener("EC2 does not know the new instance profile yet; trying again.")
            time.sleep(how.poll_seconds)


def wait_until_serving(aws: Aws, how: Bake, machine: str, log_group: str, listener: Listener) -> None:
    """Wait until the machine's stage is serving.

    Raises:
        BakeError: the machine failed, stopped or took too long; the message has the end of its log.
    """
    deadline = time.monotonic() + how.serving_seconds
    untagged, last_stage = False, ""
    while True:
        found = _describe(aws, machine)
        if found is not None:
            if not untagged:
                aws.ec2.delete_tags(Resources=[machine], Tags=[{"Key": POOL_TAG}])
                untagged = True
            tags = {tag["Key"]: tag["Value"] for tag in found.get("Tags", [])}
            stage, state = tags.get("hearth:stage", ""), found["State"]["Name"]
            if stage and stage != last_stage:
                listener(f"{machine}: {stage}")
                last_stage = stage
            if stage == "serving":
                return
            if stage.startswith("failed"):
                _fail(aws, machine, log_group, f"The machine {machine} {stage}.")
            if state not in {"pending", "running"}:
                why = f"The machine {machine} is {state}{_why(found)}"
                _fail(aws, machine, log_group, f"{why}; its last stage was: {stage or 'none'}.")
        if time.monotonic() > deadline:
            why = f"The machine {machine} did not serve in {how.serving_seconds / 60:g} minutes"
            _fail(aws, machine, log_group, f"{why}; its last stage was: {last_stage or 'none'}.")
        time.sleep(how.poll_seconds)


def _describe(aws: Aws, machine: str) -> InstanceTypeDef | None:
    """Return the instance; None while EC2 does not list the new machine yet."""
    try:
        return aws.ec2.describe_instances(InstanceIds=[machine])["Reservations"][0]["Instances"][0]
    except ClientError as error:
        if error_code(error) == "InvalidInstanceID.NotFound":
            return None
        raise
    except IndexError:
        return None


def _why(instance: InstanceTypeDef) -> str:
    """Return EC2's reason for the state, in parentheses."""
    reason = instance.get("StateReason", {}).get("Message", "").rstrip(". ")
    return f" ({reason})" if reason else ""


def _fail(aws: Aws, machine: str, log_group: str, why: str) -> NoReturn:
    log = log_tail(aws, machine, log_group)
    shown = f" The end of its log:\n{log}" if log else " It has no log."
    raise BakeError(f"{why} No image was created, and the old one is kept.{shown}")


def log_tail(aws: Aws, machine: str, log_group: str) -> str:
    """Return the end of a machine's boot log from the log group, or else from its console."""
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
    """Check that no other bake for the pool is in progress.

    Raises:
        RequestError: another bake is in progress.
    """
    if found := machines(aws, pool, BAKE_TAG):
        raise RequestError(
            f"Another bake for the pool {pool} is in progress: {', '.join(map(str, found))}. "
            "Wait until it is done, or terminate its machine if `hearth infra bake` no longer runs."
        )


def terminate_baker(aws: Aws, how: Bake, machine: str | None, listener: Listener) -> None:
    """Terminate the machine, even if its launch was interrupted before its id was known."""
    try:
        with explain_errors():
            ids = {found.id for found in machines(aws, how.pool, BAKE_TAG)} | ({machine} if machine else set())
            terminate(aws, sorted(ids), listener, poll_seconds=how.poll_seconds)
    except InfraError as error:
        listener(
            f"A machine tagged {BAKE_TAG}={how.pool} may still run: {error} It powers itself off; terminate it to be "
            "sure."
        )
