"""DynamoDB and S3 write on condition one after another; moto's threads check and write in two steps.

Simulated, after the DynamoDB Developer Guide, Condition expressions, and the S3 User Guide, Conditional writes: of two
conditional writes of an item or object that come at the same moment the second is judged by what the first left.
"""

from __future__ import annotations

import asyncio

from tests.support.aws.wire import Answer, Call, Proceed


class Serial:
    """The layer that lets one call to DynamoDB, and one conditional call to S3, through at a time."""

    def __init__(self) -> None:
        self._turns = {"dynamodb": asyncio.Lock(), "s3": asyncio.Lock()}

    async def __call__(self, call: Call, proceed: Proceed) -> Answer:
        """The layer."""
        conditional = "if-match" in call.headers or "if-none-match" in call.headers
        if call.service == "dynamodb" or (call.service == "s3" and conditional):
            async with self._turns[call.service]:
                return await proceed(call)
        return await proceed(call)
