"""Delete a stack whose machines, tasks or network interfaces may still be in use.

A security group or cluster cannot be deleted while something uses it: CloudFormation then ends in DELETE_FAILED with
DependencyViolation ("has a dependent object"). A run may start another machine at any moment, and a network interface
outlives its machine or task by seconds or minutes. Therefore whatever uses the stack is ended before each attempt.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from infra_scripts.common.clients import Aws, Listener
from infra_scripts.common.errors import LeftoverError, StackError
from infra_scripts.common.instances import tag_filter

if TYPE_CHECKING:
    from infra_scripts.common.cloudformation import Stack

_TRIES = 4
LOOKS = 100
_HELD = re.compile(r"DependencyViolation|dependent object|ClusterContains|currently in use", re.IGNORECASE)


def delete_freed(
    aws: Aws, stack: Stack, free: Callable[[], None], listener: Listener, *, poll_seconds: float = 3.0
) -> None:
    """Delete a stack, again if something new uses it.

    `free` is called before each attempt: it ends whatever uses the stack, and returns when that is gone.

    Raises:
        StackError: a resource cannot be deleted; network interfaces that are in use are named.
    """
    for again in range(_TRIES):
        free()
        # The stack's own load balancer is gone by the second attempt.
        holders = _wait_until_unused(aws, stack.name, listener, poll_seconds) if again else ()
        try:
            stack.delete()
        except StackError as error:
            if not _HELD.search(str(error)):
                raise
            if holders or again == _TRIES - 1:
                used = f". These still use its network: {', '.join(holders)}" if holders else ""
                raise StackError(f"{str(error).rstrip('.')}{used}.") from None
            listener(f"The stack {stack.name} was still in use; it is deleted again.")
        else:
            return


def verify_deletion(
    name: str, delete: Callable[[], None], left: Callable[[], Iterable[str]], *, looks: int, poll_seconds: float
) -> None:
    """Delete a stack, then check `looks` times that nothing is `left`: some resources outlive it by a moment.

    Raises:
        LeftoverError: something is left; it has the message of a StackError of `delete`.
    """
    failed = None
    try:
        delete()
    except StackError as error:
        failed = str(error)
    for look in range(looks):
        remaining = tuple(left())
        if failed or not remaining:
            break
        if look < looks - 1:
            time.sleep(poll_seconds)
    if failed or remaining:
        raise LeftoverError(name, remaining, failed)


def _wait_until_unused(aws: Aws, stack: str, listener: Listener, poll_seconds: float) -> tuple[str, ...]:
    """Wait until no network interface uses a security group of the stack; return those that do after some minutes."""
    groups = aws.ec2.describe_security_groups(Filters=[tag_filter("aws:cloudformation:stack-name", stack)])[
        "SecurityGroups"
    ]
    ids = [group["GroupId"] for group in groups]
    holders: tuple[str, ...] = ()
    for look in range(LOOKS if ids else 0):
        found = aws.ec2.describe_network_interfaces(Filters=[{"Name": "group-id", "Values": ids}])["NetworkInterfaces"]
        holders = tuple(
            f"{interface['NetworkInterfaceId']} ({interface.get('Description') or 'no description'})"
            for interface in found
        )
        if not holders:
            break
        if not look:
            listener(f"Waiting until {', '.join(ids)} are no longer in use by: {', '.join(holders)}.")
        time.sleep(poll_seconds)
    return holders
