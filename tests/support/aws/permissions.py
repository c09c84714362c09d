"""Calls that the policies of whoever asks do not allow, where a test gives the account policies.

Simulated, after the ECS Developer Guide (Grant permission to tag resources on creation): RunTask with tags wants
ecs:TagResource as well. Actions alone are looked at.
"""

from __future__ import annotations

from tests.support.aws.faults import denied
from tests.support.aws.refusals import Account
from tests.support.aws.wire import Answer, Call, Proceed, error_answer

_PREFIXES = {"monitoring": "cloudwatch"}


class Permissions:
    """The layer of policies."""

    def __init__(self, account: Account) -> None:
        self._account = account

    async def __call__(self, call: Call, proceed: Proceed) -> Answer:
        """The layer."""
        rest = call.action == call.method
        if self._account.policies is None or rest or call.service == "sts":
            return await proceed(call)
        if not self._account.allows(f"{_PREFIXES.get(call.service, call.service)}:{call.action}"):
            return await denied().happen(call, proceed)
        tags = call.parameters.get("tags") or call.parameters.get("propagateTags", "NONE") != "NONE"
        if call.action == "RunTask" and tags and not self._account.allows("ecs:TagResource"):
            message = (
                "User: arn:aws:sts::123456789012:assumed-role/hearth is not authorized to perform: ecs:TagResource on "
                "resource: * because no identity-based policy allows the ecs:TagResource action"
            )
            return error_answer(call, "AccessDeniedException", message)
        return await proceed(call)
