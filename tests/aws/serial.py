"""DynamoDB changes an item whole or not at all, one call after another; moto's threads check and write in two steps.

Simulated, after the DynamoDB Developer Guide, Condition expressions: of two conditional writes of an item that come at
the same moment the second is judged by what the first left.
"""

from __future__ import annotations

import asyncio

from tests.aws.wire import Answer, Call, Proceed


class Serial:
    """The layer that lets one call to DynamoDB through at a time."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def __call__(self, call: Call, proceed: Proceed) -> Answer:
        """The layer."""
        if call.service != "dynamodb":
            return await proceed(call)
        async with self._turn:
            return await proceed(call)
