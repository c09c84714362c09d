"""The first launch of an account: EC2 does not know the instance profile yet, and machines end as they begin."""

from __future__ import annotations

import pytest

from tasks.backends.ec2.machine import Machine, MachineState, Market, launch_failure, state_text
from tasks.core.errors import CloudError
from tests.integration.ec2.acquiring import acquired
from tests.support.aws import capacity
from tests.support.aws.front import AwsFront
from tests.support.aws.machines import Machines
from tests.support.aws.pool import Pool

pytestmark = pytest.mark.long("machines that EC2 refuses in each way: 13 s in all")

UNKNOWN = (
    "Value (hearth-default-us-east-1) for parameter iamInstanceProfile.name is invalid. "
    "Invalid IAM Instance Profile name"
)


@pytest.fixture
def unknown_profile(aws: AwsFront, monkeypatch: pytest.MonkeyPatch) -> capacity.Rule:
    """SIMULATED: EC2's answer while IAM has not told it of a profile."""
    monkeypatch.setitem(capacity.MESSAGES, "InvalidParameterValue", UNKNOWN)
    monkeypatch.setattr("tasks.backends.ec2.acquire.CAPACITY_PAUSE_SECONDS", 0.05)
    return aws.capacity.none(code="InvalidParameterValue")


async def test_the_launch_is_repeated_until_ec2_knows_the_profile(
    aws: AwsFront, pool: Pool, machines: Machines, unknown_profile: capacity.Rule, monkeypatch: pytest.MonkeyPatch
):
    def known_after_four(market: str, zone: str, kind: str) -> str | None:
        return "InvalidParameterValue" if len(aws.called("CreateFleet")) < 4 else None

    monkeypatch.setattr(aws.capacity, "refusal", known_after_four)
    used, allocation = await acquired()
    await used.release(allocation)
    assert len(aws.called("CreateFleet")) >= 4


async def test_after_three_minutes_an_unknown_profile_is_an_error(
    aws: AwsFront, pool: Pool, machines: Machines, unknown_profile: capacity.Rule, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("tasks.backends.ec2.acquire.UNSETTLED_SECONDS", 0.2)
    with pytest.raises(CloudError, match=r"instance profile.*Run `hearth infra up ec2`"):
        await acquired(capacity_seconds=36_000)


async def test_another_invalid_value_is_reported_at_once(
    aws: AwsFront, pool: Pool, machines: Machines, unknown_profile: capacity.Rule, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(capacity.MESSAGES, "InvalidParameterValue", "Invalid value 'x' for InstanceType")
    with pytest.raises(CloudError, match="Invalid value 'x'"):
        await acquired(capacity_seconds=36_000)


async def test_a_disk_smaller_than_the_image_names_its_setting(
    aws: AwsFront, pool: Pool, machines: Machines, monkeypatch: pytest.MonkeyPatch
):
    said = "Volume of size 60GB is smaller than snapshot 'snap-1', expect size >= 100GB"
    monkeypatch.setitem(capacity.MESSAGES, "InvalidBlockDeviceMapping", said)
    aws.capacity.none(code="InvalidBlockDeviceMapping")
    with pytest.raises(CloudError, match=r"expect size >= 100GB.*HEARTH_EC2_STACK__DISK_GB"):
        await acquired(capacity_seconds=36_000)


def ended(reason: str, explained: str, state: MachineState = MachineState.TERMINATED) -> Machine:
    return Machine(
        **{"id": "i-1", "pool": "default", "state": state, "type": "g4dn.xlarge", "market": Market.SPOT},  # type: ignore[arg-type]
        **{"zone": "us-east-1a", "launched_at": 0.0, "private_ip": None, "public_ip": None, "config": ""},  # type: ignore[arg-type]
        **{"stage": "", "notice": None, "spot_request": None, "reason": reason, "explained": explained},  # type: ignore[arg-type]
    )


class TestStateReason:
    """EC2's own words for the end of a machine reach whoever waits for it."""

    def test_an_inaccessible_key_is_named_as_the_likely_reason(self):
        told = launch_failure(ended("Client.InternalError", "Client.InternalError: Client error on launch"))
        assert told is not None
        assert "Client error on launch" in told
        assert "default key for EBS" in told

    def test_a_permanent_launch_failure_is_reported(self):
        told = launch_failure(ended("Client.VolumeLimitExceeded", "Volume limit exceeded"))
        assert told == "EC2 ended i-1 at its launch: Volume limit exceeded. Another would end the same way."

    @pytest.mark.parametrize("reason", ["Server.SpotInstanceTermination", "Client.UserInitiatedShutdown", ""])
    def test_a_transient_launch_failure_is_not_reported(self, reason: str):
        assert launch_failure(ended(reason, "")) is None

    def test_a_running_machine_is_no_launch_failure(self):
        assert launch_failure(ended("Client.InternalError", "", MachineState.RUNNING)) is None

    def test_the_state_is_shown_with_its_reason(self):
        assert state_text(ended("x", "Server.Spot: taken.")) == "terminated (Server.Spot: taken)"
        assert state_text(ended("", "")) == "terminated"
