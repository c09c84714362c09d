"""SSM's StartSession, which moto lacks.

Simulated, after the Systems Manager API Reference: the answer's StreamUrl names the machine, so that the plugin of
bin/ can reach it; AWS's is the address of its own service.
"""

from __future__ import annotations

import json
from uuid import uuid4

from tests.support.aws.direct import AsyncDirect
from tests.support.aws.wire import Answer, Call, Proceed, error_answer


class Sessions:
    """The layer of tunnels."""

    def __init__(self, moto: AsyncDirect) -> None:
        self._moto = moto

    async def __call__(self, call: Call, proceed: Proceed) -> Answer:
        """The layer."""
        if (call.service, call.action) != ("ssm", "StartSession"):
            return await proceed(call)
        target = call.parameters["Target"]
        machine = (await self._moto.instances()).get(target)
        if machine is None or machine.state != "running":
            return error_answer(call, "TargetNotConnected", f"{target} is not connected.")
        facts = {"SessionId": f"hearth-{uuid4()}", "TokenValue": "token", "StreamUrl": f"ws://{machine.address}/"}
        return Answer(200, {"content-type": "application/x-amz-json-1.1"}, json.dumps(facts).encode())
