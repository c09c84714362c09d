"""A machine as EC2 describes it, and the calls that change its state."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from tasks.aws.client import Aws, ask
from tasks.core.errors import CloudError

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import DescribeInstancesResultTypeDef, FilterTypeDef, InstanceTypeDef

POOL_TAG = "hearth:pool"
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html
_NOTICE_SECONDS = 120
_LAUNCH_SECONDS = 60
"""A machine that started so long after its disk was attached was stopped before."""
# "User initiated (2026-11-25 10:20:33 GMT)"; EC2 promises no form, and it may be empty.
_AT = re.compile(r"\((\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (?:GMT|UTC)\)")
GONE = {"InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed"}


class MachineState(StrEnum):
    """EC2's states of an instance."""

    PENDING = "pending"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    SHUTTING_DOWN = "shutting-down"
    TERMINATED = "terminated"


class Market(StrEnum):
    """How a machine is paid for."""

    SPOT = "spot"
    ON_DEMAND = "on-demand"


@dataclass(frozen=True)
class Notice:
    """What a machine tells of its own end: when, in seconds since the epoch, and why, such as spot-interruption."""

    at: float
    why: str


@dataclass(frozen=True)
class Machine:
    """An instance of a pool.

    Attributes:
        launched_at: when it was last started, seconds since the epoch.
        config: of the stack that it was made from.
        stage: what it says of itself while it boots; empty at first.
        notice: when and why it will go, if it knows.
        transition: EC2's words for its last change of state, which may hold the time.
        reason: EC2's code for it, such as Server.SpotInstanceTermination.
        disk_since: when its root disk was attached: a little after its launch; at no start after that.
        explained: EC2's words for that code.
    """

    id: str
    pool: str
    state: MachineState
    type: str
    market: Market
    zone: str
    launched_at: float
    private_ip: str | None
    public_ip: str | None
    config: str
    stage: str
    notice: Notice | None
    spot_request: str | None
    transition: str = ""
    reason: str = ""
    explained: str = ""
    disk_since: float = 0.0

    @property
    def new(self) -> bool:
        """Whether it was last started by its launch, and not again after a stop."""
        return self.launched_at - self.disk_since < _LAUNCH_SECONDS

    @property
    def there(self) -> bool:
        """Whether it exists and can serve, now or after a start."""
        return self.state not in {MachineState.SHUTTING_DOWN, MachineState.TERMINATED}

    @property
    def kind(self) -> str:
        """Such as `g4dn.xlarge spot in us-east-1a`."""
        return f"{self.type} {self.market} in {self.zone}"

    @property
    def region(self) -> str:
        """Of its zone."""
        return self.zone[:-1]

    @property
    def changed_at(self) -> float | None:
        """When it was told to change its state last, seconds since the epoch; None if EC2 does not say."""
        found = _AT.search(self.transition)
        return None if found is None else datetime.strptime(f"{found[1]} +0000", "%Y-%m-%d %H:%M:%S %z").timestamp()


async def list_machines(aws: Aws, pool: str) -> tuple[Machine, ...]:
    """All machines of a pool that EC2 still tells of, those that have gone lately included.

    EC2 may not list what was launched a moment ago.
    """
    filters: list[FilterTypeDef] = [{"Name": f"tag:{POOL_TAG}", "Values": [pool]}]
    pages = aws.ec2.get_paginator("describe_instances")

    def describe_instances() -> list[DescribeInstancesResultTypeDef]:
        return list(pages.paginate(Filters=filters))

    listed = await ask(describe_instances)
    return await _with_marks(aws, [machine for page in listed for machine in _machines(page)])


async def machine(aws: Aws, machine_id: str, *, at_once: bool = False) -> Machine | None:
    """One machine; None if EC2 does not know it (any more, or yet). `at_once`: an answer, or an error, in 35 s."""
    client = aws.ec2_at_once if at_once else aws.ec2
    try:
        page = await ask(client.describe_instances, InstanceIds=[machine_id])
    except CloudError as error:
        if error.code in GONE:
            return None
        raise
    return next(iter(await _with_marks(aws, list(_machines(page)))), None)


async def start(aws: Aws, machine_id: str) -> None:
    """Start a stopped machine; one that runs already is left as it is."""
    await ask(aws.ec2.start_instances, InstanceIds=[machine_id])


async def stop(aws: Aws, machine_id: str, before: float) -> None:
    """Stop a machine, keeping its disk; at once or not at all.

    Args:
        aws: where.
        machine_id: which.
        before: seconds since the epoch; later it is not done any more.

    Raises:
        CloudError: AWS refuses, or it got too late.
    """

    def stop_instances() -> None:
        _in_time(machine_id, before)
        aws.ec2_at_once.stop_instances(InstanceIds=[machine_id])

    try:
        await ask(stop_instances)
    except CloudError as error:
        # Somebody may have been quicker.
        seen = await machine(aws, machine_id) if error.code in {*GONE, "IncorrectInstanceState"} else None
        if error.code not in GONE and (seen is None or seen.state in {MachineState.PENDING, MachineState.RUNNING}):
            raise


async def terminate(aws: Aws, machine_id: str, before: float) -> None:
    """End a machine, its disk included; as `stop`. One that is gone already is no error."""

    def terminate_instances() -> None:
        _in_time(machine_id, before)
        aws.ec2_at_once.terminate_instances(InstanceIds=[machine_id])

    try:
        await ask(terminate_instances)
    except CloudError as error:
        if error.code not in GONE:
            raise


def _in_time(machine_id: str, before: float) -> None:
    """Asked right before the call, in its thread: it may have waited for one."""
    if time.time() > before:
        raise CloudError(f"{machine_id} was not stopped: it took too long to get there. The next look will.")


async def keep_disk_on_power_off(aws: Aws, machine_id: str) -> None:
    """Have a machine stopped, not terminated, when it powers itself off. EC2 allows it for on demand only."""
    await ask(
        aws.ec2.modify_instance_attribute,
        InstanceId=machine_id,
        InstanceInitiatedShutdownBehavior={"Value": "stop"},
    )


async def _with_marks(aws: Aws, machines: Sequence[Machine]) -> tuple[Machine, ...]:
    """Note which spot machines EC2 takes back, as it tells from outside, also if the machine itself says nothing."""
    requests = [m.spot_request for m in machines if m.spot_request and m.state is MachineState.RUNNING and not m.notice]
    if not requests:
        return tuple(machines)
    # By a filter: an id that EC2 has forgotten would make the whole call fail.
    wanted: list[FilterTypeDef] = [{"Name": "spot-instance-request-id", "Values": requests}]
    answer = await ask(aws.ec2.describe_spot_instance_requests, Filters=wanted)
    marks = {one.get("SpotInstanceRequestId"): one.get("Status", {}) for one in answer["SpotInstanceRequests"]}

    def marked(machine: Machine) -> Machine:
        mark = marks.get(machine.spot_request)
        if mark is None or not mark.get("Code", "").startswith("marked-for-"):
            return machine
        since = mark.get("UpdateTime")
        at = since.timestamp() if isinstance(since, datetime) else time.time()
        return replace(machine, notice=Notice(at + _NOTICE_SECONDS, f"spot: {mark.get('Code')}"))

    return tuple(map(marked, machines))


def _machines(page: DescribeInstancesResultTypeDef) -> Iterator[Machine]:
    for reservation in page["Reservations"]:
        for instance in reservation.get("Instances", ()):
            yield _machine(instance)


def _machine(instance: InstanceTypeDef) -> Machine:
    tags = {tag["Key"]: tag["Value"] for tag in instance.get("Tags", ())}
    launched = instance.get("LaunchTime")
    launched_at = launched.timestamp() if isinstance(launched, datetime) else 0.0
    attached = [disk.get("Ebs", {}).get("AttachTime") for disk in instance.get("BlockDeviceMappings", ())]
    return Machine(
        id=instance["InstanceId"],
        pool=tags.get(POOL_TAG, ""),
        state=MachineState(instance["State"]["Name"]),
        type=instance["InstanceType"],
        market=Market.SPOT if instance.get("InstanceLifecycle") == "spot" else Market.ON_DEMAND,
        zone=instance.get("Placement", {}).get("AvailabilityZone", ""),
        launched_at=launched_at,
        private_ip=instance.get("PrivateIpAddress"),
        public_ip=instance.get("PublicIpAddress"),
        config=tags.get("hearth:config", ""),
        stage=tags.get("hearth:stage", ""),
        notice=_notice(tags.get("hearth:notice", ""), launched_at),
        spot_request=instance.get("SpotInstanceRequestId"),
        transition=instance.get("StateTransitionReason", ""),
        reason=instance.get("StateReason", {}).get("Code", ""),
        disk_since=min((at.timestamp() for at in attached if isinstance(at, datetime)), default=launched_at),
        explained=instance.get("StateReason", {}).get("Message", ""),
    )


def _notice(tag: str, launched_at: float) -> Notice | None:
    when, _, why = tag.partition(" ")
    try:
        at = datetime.fromisoformat(when).timestamp()
    except ValueError:
        return None
    # A tag outlives a stop and a start.
    return Notice(at, why or "its end was announced") if at >= launched_at else None
