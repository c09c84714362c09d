"""List machines, and change their state."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from tasks.aws.client import Aws, ask, ask_all
from tasks.backends.ec2.machine import POOL_TAG, Machine, MachineState, Notice, described
from tasks.core.errors import CloudError

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import FilterTypeDef, ReservationTypeDef, SpotInstanceStatusTypeDef

# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html
_NOTICE_SECONDS = 120
GONE = {"InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed"}


async def list_machines(aws: Aws, pool: str) -> tuple[Machine, ...]:
    """Return all machines of a pool that EC2 lists, with those that have gone lately.

    EC2 may not list a machine that was launched a moment ago.
    """
    filters = [{"Name": f"tag:{POOL_TAG}", "Values": [pool]}]
    reservations = await ask_all(aws.ec2, "describe_instances", "Reservations", Filters=filters)
    return await _with_marks(aws, list(_machines(reservations)))


async def machine(aws: Aws, machine_id: str, *, at_once: bool = False) -> Machine | None:
    """Return a machine; None if EC2 does not know it (any more, or yet). `at_once`: within 35 s, or fail."""
    client = aws.ec2_at_once if at_once else aws.ec2
    try:
        page = await ask(client.describe_instances, InstanceIds=[machine_id])
    except CloudError as error:
        if error.code in GONE:
            return None
        raise
    return next(iter(await _with_marks(aws, list(_machines(page["Reservations"])))), None)


async def start(aws: Aws, machine_id: str) -> None:
    """Start a stopped machine, or leave a running one as it is."""
    await ask(aws.ec2.start_instances, InstanceIds=[machine_id])


async def stop(aws: Aws, machine_id: str, before: float) -> None:
    """Stop a machine and keep its disk, before a deadline (seconds since the epoch) or not at all.

    Raises:
        CloudError: AWS refused, or the deadline passed.
    """

    def stop_instances() -> None:
        _in_time(machine_id, before)
        aws.ec2_at_once.stop_instances(InstanceIds=[machine_id])

    try:
        await ask(stop_instances)
    except CloudError as error:
        # Another process may have stopped it first.
        seen = await machine(aws, machine_id) if error.code in {*GONE, "IncorrectInstanceState"} else None
        if error.code not in GONE and (seen is None or seen.state in {MachineState.PENDING, MachineState.RUNNING}):
            raise


async def terminate(aws: Aws, machine_id: str, before: float) -> None:
    """Terminate a machine with its disk; see `stop`. One that is gone already is no error."""

    def terminate_instances() -> None:
        _in_time(machine_id, before)
        aws.ec2_at_once.terminate_instances(InstanceIds=[machine_id])

    try:
        await ask(terminate_instances)
    except CloudError as error:
        if error.code not in GONE:
            raise


def _in_time(machine_id: str, before: float) -> None:
    """Check the deadline right before the call, which may have waited for a thread."""
    if time.time() > before:
        raise CloudError(f"{machine_id} was not stopped: the deadline for it passed. The next check will stop it.")


async def keep_disk_on_power_off(aws: Aws, machine_id: str) -> None:
    """Have a machine stopped, not terminated, when it powers itself off. EC2 allows that on demand only."""
    await ask(
        aws.ec2.modify_instance_attribute,
        InstanceId=machine_id,
        InstanceInitiatedShutdownBehavior={"Value": "stop"},
    )


async def spot_statuses(aws: Aws, requests: Sequence[str]) -> dict[str, SpotInstanceStatusTypeDef]:
    """Return the statuses of spot requests by their ids."""
    # By a filter: an id that EC2 has forgotten would make the whole call fail.
    filters: list[FilterTypeDef] = [{"Name": "spot-instance-request-id", "Values": requests}]
    response = await ask(aws.ec2.describe_spot_instance_requests, Filters=filters)
    return {one.get("SpotInstanceRequestId", ""): one.get("Status", {}) for one in response["SpotInstanceRequests"]}


async def _with_marks(aws: Aws, machines: Sequence[Machine]) -> tuple[Machine, ...]:
    """Add the notices of spot machines that EC2 takes back, from their requests: the machines may report none."""
    requests = [m.spot_request for m in machines if m.spot_request and m.state is MachineState.RUNNING and not m.notice]
    if not requests:
        return tuple(machines)
    marks = await spot_statuses(aws, requests)

    def marked(machine: Machine) -> Machine:
        mark = marks.get(machine.spot_request or "")
        if mark is None or not mark.get("Code", "").startswith("marked-for-"):
            return machine
        since = mark.get("UpdateTime")
        at = since.timestamp() if isinstance(since, datetime) else time.time()
        return replace(machine, notice=Notice(at + _NOTICE_SECONDS, f"spot: {mark.get('Code')}"))

    return tuple(map(marked, machines))


def _machines(reservations: Sequence[ReservationTypeDef]) -> Iterator[Machine]:
    for reservation in reservations:
        for instance in reservation.get("Instances", ()):
            yield described(instance)
