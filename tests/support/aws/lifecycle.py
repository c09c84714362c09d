"""The lives of instances as EC2 tells them: they take time, come into sight late, and refuse what does not fit.

All of it is simulated, after the EC2 User Guide (Instance lifecycle, Stop and start) and the EC2 API Reference
(Eventual consistency, Error codes); moto's instances run and stop at once and obey in every state.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from tests.support.aws.direct import AsyncDirect
from tests.support.aws.wire import Answer, Call, Proceed, error_answer, xml_answer

CODES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}
FINAL = {"pending": "running", "stopping": "stopped", "shutting-down": "terminated"}
LAUNCHES = {"CreateFleet", "RunInstances"}
CHANGES = {"StartInstances": "pending", "StopInstances": "stopping", "TerminateInstances": "shutting-down"}
OBEYS = {"StartInstances": {"stopped", "running", "pending"}, "StopInstances": {"running", "stopped", "stopping"}}
VERBS = {"StartInstances": "started", "StopInstances": "stopped"}
ONE_TIME = (
    "You can't stop the Spot Instance '{}' because it is associated with a one-time Spot Instance request. "
    "You can only stop Spot Instances associated with persistent Spot Instance requests."
)


class Lifecycle:
    """The layer of states.

    Attributes:
        seconds: how long instances are pending, stopping and shutting-down.
        invisible_s: how long new ones are hidden.
        reasons: code and message of StateReason, by instance.
        watchers: are told of every change of state.
        changing: calls under way whose changes moto may know already, and nobody here yet.
    """

    def __init__(self, moto: AsyncDirect) -> None:
        self._moto = moto
        self.seconds = dict.fromkeys(FINAL, 0.0)
        self.invisible_s = 0.0
        self.reasons: dict[str, tuple[str, str]] = {}
        self.watchers: list[Callable[[str, str], None]] = []
        self.changing = 0
        self._moves: dict[str, tuple[str, float]] = {}
        self._hidden: dict[str, float] = {}
        self._started: dict[str, datetime] = {}

    def moved(self, instance: str, to: str) -> None:
        """An instance has begun to change its state."""
        self._moves[instance] = (to, time.monotonic() + self.seconds[to])
        if to == "pending":
            self.reasons.pop(instance, None)
        for watch in self.watchers:
            watch(instance, to)

    def state(self, instance: str, real: str) -> str:
        """What EC2 tells."""
        state, until = self._moves.get(instance, ("", 0.0))
        return state if time.monotonic() < until else real

    def hidden(self, instance: str) -> bool:
        """Whether EC2 does not know of it yet."""
        return time.monotonic() < self._hidden.get(instance, 0.0)

    def settle(self) -> None:
        """End all changes of state that are under way, and bring into sight what is hidden."""
        self._moves.clear()
        self._hidden.clear()

    def date_back(self, instance: str, seconds: float) -> None:
        """Have its last start lie so long ago."""
        self._started[instance] = datetime.now(UTC) - timedelta(seconds=seconds)

    def launch_time(self, instance: str) -> str | None:
        """Of its last start."""
        found = self._started.get(instance)
        return found and f"{found:%Y-%m-%dT%H:%M:%S}.000Z"

    async def __call__(self, call: Call, proceed: Proceed) -> Answer:
        """The layer."""
        if call.service != "ec2":
            return await proceed(call)
        named = [*call.listed("InstanceId"), *call.listed("ResourceId"), call.parameters.get("InstanceId", "")]
        if unknown := [each for each in named if self.hidden(each)]:
            code = "InvalidInstanceID.NotFound"
            return error_answer(call, code, f"The instance ID '{unknown[0]}' does not exist")
        if refusal := await self._refusal(call):
            return refusal
        if call.action not in {*LAUNCHES, *CHANGES}:
            return await proceed(call)
        self.changing += 1
        try:
            answer = await proceed(call)
            if answer.ok and call.action in LAUNCHES:
                self._launched(answer)
            return self._changed(call, answer) if answer.ok and call.action in CHANGES else answer
        finally:
            self.changing -= 1

    async def _refusal(self, call: Call) -> Answer | None:
        if call.action not in OBEYS:
            return None
        instances = await self._moto.instances()
        for name in call.listed("InstanceId"):
            if (one := instances.get(name)) is None:
                continue
            if call.action == "StopInstances" and one.market == "spot":
                return error_answer(call, "UnsupportedOperation", ONE_TIME.format(name))
            if self.state(name, one.state) not in OBEYS[call.action]:
                verb = VERBS[call.action]
                message = f"The instance '{name}' is not in a state from which it can be {verb}."
                return error_answer(call, "IncorrectInstanceState", message)
        return None

    def _launched(self, answer: Answer) -> None:
        root = answer.xml()
        paths = ("fleetInstanceSet/item/instanceIds/item", "instancesSet/item/instanceId")
        for item in (found for path in paths for found in root.iterfind(path)):
            self._hidden[item.text] = time.monotonic() + self.invisible_s
            self.moved(item.text, "pending")

    def _changed(self, call: Call, answer: Answer) -> Answer:
        to = CHANGES[call.action]
        root = answer.xml()
        for item in root.iterfind("instancesSet/item"):
            name = item.findtext("instanceId")
            before = item.findtext("previousState/name")
            shown = self.state(name, before)
            set_state(item.find("previousState"), shown)
            if before == FINAL[to]:
                set_state(item.find("currentState"), shown)
                continue
            if to == "pending":
                self._started[name] = datetime.now(UTC)
            self.moved(name, to)
        return xml_answer(root)


def set_state(item, name: str) -> None:
    """Write a state into XML."""
    item.find("name").text = name
    item.find("code").text = str(CODES[name])
