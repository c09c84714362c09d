"""`down` removes everything in an order that avoids DependencyViolation, and repeats it if something new appeared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from infra_scripts.common.cloudformation import Stack
from infra_scripts.common.errors import LeftoverError, StackError
from infra_scripts.common.teardown import delete_freed
from infra_scripts.ec2.deploy import down, up
from tests.support.infra.fixtures import Cloud
from tests.support.infra.pools import pool

POLL = 0.02
HELD = "resource sg-1 has a dependent object (Service: Ec2, Status Code: 400)"


class Stuck:
    """A stack that SCRIPTED answers keep from being deleted, as moto's never are."""

    name = "hearth-default"

    def __init__(self, *reasons: str) -> None:
        self._reasons = list(reasons)
        self.tries = 0

    def delete(self) -> None:
        self.tries += 1
        if self._reasons:
            raise StackError(f"The stack is in DELETE_FAILED: SecurityGroup failed, {self._reasons.pop(0)}")


def test_the_deletion_is_repeated_if_a_new_resource_blocked_it(cloud: Cloud):
    stuck, freed = Stuck(HELD, "DependencyViolation"), []
    delete_freed(cloud.aws, stuck, lambda: freed.append(stuck.tries), cloud.listen, poll_seconds=POLL)  # type: ignore[arg-type]
    assert freed == [0, 1, 2]


def test_another_failure_is_reported_at_once(cloud: Cloud):
    stuck = Stuck("not authorized to perform: ec2:DeleteSecurityGroup")
    with pytest.raises(StackError, match="not authorized"):
        delete_freed(cloud.aws, stuck, lambda: None, cloud.listen, poll_seconds=POLL)  # type: ignore[arg-type]
    assert stuck.tries == 1


def test_the_deletion_is_not_repeated_for_ever(cloud: Cloud):
    stuck = Stuck(*[HELD] * 20)
    with pytest.raises(StackError, match="dependent object"):
        delete_freed(cloud.aws, stuck, lambda: None, cloud.listen, poll_seconds=POLL)  # type: ignore[arg-type]
    assert stuck.tries < 10


def test_resources_that_still_use_the_network_are_named(cloud: Cloud, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("infra_scripts.common.teardown.LOOKS", 2)
    up(cloud.aws, pool(), cloud.listen, poll_seconds=POLL)
    tagged = [{"Name": "tag:hearth:pool", "Values": ["default"]}]
    (group,) = cloud.aws.ec2.describe_security_groups(Filters=tagged)["SecurityGroups"]  # type: ignore[arg-type]
    subnet = cloud.aws.ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    made = cloud.aws.ec2.create_network_interface(SubnetId=subnet, Groups=[group["GroupId"]], Description="of a lab")
    interface = made["NetworkInterface"]["NetworkInterfaceId"]
    with pytest.raises(StackError, match=rf"{interface} \(of a lab\)"):
        delete_freed(cloud.aws, Stuck(*[HELD] * 20), lambda: None, cloud.listen, poll_seconds=POLL)  # type: ignore[arg-type]


@pytest.mark.long("launches a machine while its pool goes: 7 s")
def test_a_machine_launched_during_the_removal_is_ended_too(cloud: Cloud, monkeypatch: pytest.MonkeyPatch):
    """The first attempt fails because of the new machine's security group; the second finds the machine."""
    outputs = up(cloud.aws, pool(), cloud.listen, poll_seconds=POLL).outputs
    real: Callable[[Stack], None] = Stack.delete
    came: list[str] = []

    def delete(stack: Stack) -> None:
        if not came:
            came.append(cloud.launch(outputs))
            raise StackError(f"DELETE_FAILED: {HELD}")
        real(stack)

    monkeypatch.setattr(Stack, "delete", delete)
    done = down(cloud.aws, "default", cloud.listen, poll_seconds=POLL)
    assert list(done.terminated) == came
    assert cloud.state(came[0]) == "terminated"


def test_machines_are_ended_before_their_security_group_is_deleted(cloud: Cloud, monkeypatch: pytest.MonkeyPatch):
    outputs = up(cloud.aws, pool(), cloud.listen, poll_seconds=POLL).outputs
    machine, states = cloud.launch(outputs), []
    real: Callable[[Stack], Any] = Stack.delete
    monkeypatch.setattr(Stack, "delete", lambda stack: (states.append(cloud.state(machine)), real(stack)))
    down(cloud.aws, "default", cloud.listen, force=True, poll_seconds=POLL)
    assert states == ["terminated"]


def test_a_stack_that_cannot_be_removed_is_named(cloud: Cloud, monkeypatch: pytest.MonkeyPatch):
    up(cloud.aws, pool(), cloud.listen, poll_seconds=POLL)

    def delete(_: Stack) -> None:
        raise StackError(f"DELETE_FAILED: {HELD}")

    monkeypatch.setattr(Stack, "delete", delete)
    with pytest.raises(LeftoverError, match=r"stack hearth-default .*dependent object"):
        down(cloud.aws, "default", cloud.listen, poll_seconds=POLL)
