"""A machine as EC2 describes it, and EC2's reasons for its state."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import InstanceTypeDef

POOL_TAG = "hearth:pool"
_LAUNCH_SECONDS = 60
"""A machine that started later than this after its disk was attached had been stopped before."""
# "User initiated (2026-11-25 10:20:33 GMT)"; EC2 promises no format, and it may be empty.
_AT = re.compile(r"\((\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (?:GMT|UTC)\)")


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
    """A machine's announcement of its end: when, in seconds since the epoch, and why, such as spot-interruption."""

    at: float
    why: str


@dataclass(frozen=True)
class Machine:
    """An instance of a pool.

    Attributes:
        launched_at: when it was last started, seconds since the epoch.
        config: of the stack that it was made from.
        stage: of its boot, as it reports it; empty at first.
        notice: when and why it will go, if it is known.
        transition: EC2's text on its last change of state, which may hold the time.
        reason: EC2's code for that, such as Server.SpotInstanceTermination.
        explained: EC2's text for that code.
        disk_since: when its root disk was attached: shortly after its launch, and not at later starts.
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
        """Whether it was launched last, and not started again after a stop."""
        return self.launched_at - self.disk_since < _LAUNCH_SECONDS

    @property
    def there(self) -> bool:
        """Whether it exists, so that it serves now or after a start."""
        return self.state not in {MachineState.SHUTTING_DOWN, MachineState.TERMINATED}

    @property
    def kind(self) -> str:
        """Such as `g4dn.xlarge spot in us-east-1a`."""
        return f"{self.type} {self.market} in {self.zone}"

    @property
    def region(self) -> str:
        """The region of its zone."""
        return self.zone[:-1]

    @property
    def changed_at(self) -> float | None:
        """When its state was last changed, seconds since the epoch; None if EC2 does not say."""
        found = _AT.search(self.transition)
        return None if found is None else datetime.strptime(f"{found[1]} +0000", "%Y-%m-%d %H:%M:%S %z").timestamp()


def described(instance: InstanceTypeDef) -> Machine:
    """Return the machine of EC2's description of an instance."""
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


_KEY_REFUSED = "Client.InternalError"
_LASTING = {_KEY_REFUSED, "Client.InvalidSnapshot.NotFound", "Client.VolumeLimitExceeded"}
WHY = {
    "Server.SpotInstanceTermination": "EC2 took the spot machine back",
    "Server.SpotInstanceShutdown": "EC2 took the spot machine back",
    "Client.InstanceInitiatedShutdown": "it powered itself off",
    "Client.UserInitiatedShutdown": "it was stopped through AWS",
    _KEY_REFUSED: "EC2 could not launch it, mostly for the key of its disk",
}
"""The reasons in words, by EC2's code."""


def state_text(machine: Machine) -> str:
    """Return a machine's state and EC2's reason for it."""
    return f"{machine.state} ({machine.explained.rstrip('. ')})" if machine.explained else str(machine.state)


def launch_failure(machine: Machine) -> str | None:
    """Return why EC2 ended a machine at its launch, if the next would end the same way; None otherwise."""
    if machine.there or machine.reason not in _LASTING:
        return None
    why = f"EC2 ended {machine.id} at its launch: {(machine.explained or machine.reason).rstrip('. ')}."
    if machine.reason != _KEY_REFUSED:
        return f"{why} Another would end the same way."
    return (
        f"{why} Mostly that is a disk encrypted with a key that the launch may not use: see the account's default key "
        "for EBS, and docs/how-to/ec2.md, *A key of your own for disks*."
    )
