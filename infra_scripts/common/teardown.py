"""Delete a stack that something may still hold: machines, tasks and their network interfaces go before it.

A security group, and a cluster, cannot be deleted while something uses them: CloudFormation then ends in DELETE_FAILED
with DependencyViolation ("has a dependent object"). Whoever reads meanwhile may start another machine at any moment,
and an interface outlives its machine or task by some seconds, or minutes. So what uses the stack is ended first, and
again whenever the deletion meets it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from infra_scripts.common.clients import Aws, Listener
from infra_scripts.common.errors import StackError
from infra_scripts.common.instances import tag_filter

if TYPE_CHECKING:
    from infra_scripts.common.cloudformation import Stack

_TRIES = 4
_LOOKS = 100
_HELD = re.compile(r"DependencyViolation|dependent object|ClusterContains|currently in use", re.IGNORECASE)


def delete_freed(
    aws: Aws, stack: Stack, free: Callable[[], None], listener: Listener, *, poll_seconds: float = 3.0
) -> None:
    """End what uses a stack and delete it, again for as long as something new holds it.

    Args:
        aws: the account.
        stack: what is deleted.
        free: ends what uses it, and returns when that is gone; called before each try.
        listener: is told what goes on.
        poll_seconds: between two looks.

    Raises:
        StackError: something in it cannot be deleted; what still uses its network is named.
    """
    for again in range(_TRIES):
        free()
        # A load balancer of the stack itself is gone by the second try.
        holders = _wait_until_unused(aws, stack.name, listener, poll_seconds) if again else ()
        try:
            stack.delete()
        except StackError as error:
            if not _HELD.search(str(error)):
                raise
            if holders or again == _TRIES - 1:
                used = f". These still use its network: {', '.join(holders)}" if holders else ""
                raise StackError(f"{str(error).rstrip('.')}{used}.") from None
            listener(f"Something still used the stack {stack.name}; it is deleted again.")
        else:
            return


def _wait_until_unused(aws: Aws, stack: str, listener: Listener, poll_seconds: float) -> tuple[str, ...]:
    """Wait until no network interface has a security group of the stack; those that still do after some minutes."""
    groups = aws.ec2.describe_security_groups(Filters=[tag_filter("aws:cloudformation:stack-name", stack)])[
        "SecurityGroups"
    ]
    ids = [group["GroupId"] for group in groups]
    holders: tuple[str, ...] = ()
    for look in range(_LOOKS if ids else 0):
        found = aws.ec2.describe_network_interfaces(Filters=[{"Name": "group-id", "Values": ids}])["NetworkInterfaces"]
        holders = tuple(f"{one['NetworkInterfaceId']} ({one.get('Description') or 'no description'})" for one in found)
        if not holders:
            break
        if not look:
            listener(f"Waiting until nothing uses {', '.join(ids)} any more: {', '.join(holders)}.")
        time.sleep(poll_seconds)
    return holders
