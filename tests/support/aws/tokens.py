"""ClientToken: the same request again is not a second launch.

Simulated, after the EC2 API Reference, Ensuring idempotency: a repeated token answers what the first call answered;
other parameters under the same token are refused with IdempotentParameterMismatch.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict

from tests.support.aws.wire import Answer, Call, Proceed, error_answer


class Tokens:
    """The layer that remembers tokens."""

    def __init__(self) -> None:
        self._answers: dict[tuple[str, str], tuple[dict[str, str], Answer]] = {}
        self._turns: defaultdict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)

    async def __call__(self, call: Call, proceed: Proceed) -> Answer:
        """The layer."""
        token = call.parameters.get("ClientToken") if call.service == "ec2" else None
        if not token:
            return await proceed(call)
        key, asked = (call.action, token), dict(call.parameters)
        async with self._turns[key]:
            if known := self._answers.get(key):
                parameters, answer = known
                if parameters == asked:
                    return answer
                message = "Arguments on this idempotent request are inconsistent with arguments used in previous"
                return error_answer(call, "IdempotentParameterMismatch", message)
            answer = await proceed(call)
            if answer.ok:
                self._answers[key] = (asked, answer)
            return answer
