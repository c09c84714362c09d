"""What can go wrong between a client and AWS, by name."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from tests.support.aws.wire import Answer, Call, DroppedError, Proceed, error_answer

FOREVER_S = 3600.0
_LOOK_S = 0.01


@dataclass(frozen=True)
class Fault:
    """Something that happens to a call instead of its answer, or before it."""

    name: str
    happen: Callable[[Call, Proceed], Awaitable[Answer]]


def error(code: str, message: str = "Simulated.", status: int = 400) -> Fault:
    """AWS refuses; the call has no effect."""

    async def refuse(call: Call, _: Proceed) -> Answer:
        return error_answer(call, code, message, status)

    return Fault(code, refuse)


def throttled() -> Fault:
    """Too many requests, in the words of each service."""

    async def refuse(call: Call, _: Proceed) -> Answer:
        if call.service == "ec2":
            return error_answer(call, "RequestLimitExceeded", "Request limit exceeded.", 503)
        if call.service == "s3":
            return error_answer(call, "SlowDown", "Please reduce your request rate.", 503)
        code = "ThrottlingException" if call.headers.get("x-amz-target") else "Throttling"
        return error_answer(call, code, "Rate exceeded", 400)

    return Fault("throttled", refuse)


def denied() -> Fault:
    """No permission, in the words of each service."""

    async def refuse(call: Call, _: Proceed) -> Answer:
        message = f"You are not authorized to perform: {call.service}:{call.action}"
        if call.service == "ec2":
            return error_answer(call, "UnauthorizedOperation", message, 403)
        code = "AccessDeniedException" if call.headers.get("x-amz-target") else "AccessDenied"
        return error_answer(call, code, message, 400 if code.endswith("Exception") else 403)

    return Fault("denied", refuse)


def hang(seconds: float = FOREVER_S) -> Fault:
    """No answer for a long time, and then a broken connection; the call has no effect."""

    async def wait(_: Call, __: Proceed) -> Answer:
        await asyncio.sleep(seconds)
        raise DroppedError

    return Fault("hang", wait)


def dropped() -> Fault:
    """The connection breaks before the call has an effect."""

    async def drop(_: Call, __: Proceed) -> Answer:
        raise DroppedError

    return Fault("dropped", drop)


def lost_answer() -> Fault:
    """The call takes effect, but its answer never arrives."""

    async def lose(call: Call, proceed: Proceed) -> Answer:
        await proceed(call)
        raise DroppedError

    return Fault("lost answer", lose)


def slow(seconds: float) -> Fault:
    """The call takes effect later."""

    async def delay(call: Call, proceed: Proceed) -> Answer:
        await asyncio.sleep(seconds)
        return await proceed(call)

    return Fault("slow", delay)


def held(release: threading.Event) -> Fault:
    """The call takes effect when the event is set."""

    async def hold(call: Call, proceed: Proceed) -> Answer:
        while not release.is_set():
            await asyncio.sleep(_LOOK_S)
        return await proceed(call)

    return Fault("held", hold)


def answer_held(release: threading.Event) -> Fault:
    """The call takes effect at once, and is answered when the event is set."""

    async def hold(call: Call, proceed: Proceed) -> Answer:
        answer = await proceed(call)
        while not release.is_set():
            await asyncio.sleep(_LOOK_S)
        return answer

    return Fault("answer held", hold)


def late_answer(seconds: float) -> Fault:
    """The call takes effect at once, and is answered later."""

    async def delay(call: Call, proceed: Proceed) -> Answer:
        answer = await proceed(call)
        await asyncio.sleep(seconds)
        return answer

    return Fault("late answer", delay)


@dataclass
class Injection:
    """A fault that waits for its calls.

    Attributes:
        hits: the calls that it happened to.
    """

    fault: Fault
    actions: tuple[str, ...]
    times: int | None
    skip: int
    where: Callable[[Call], bool]
    hits: list[Call]

    def takes(self, call: Call) -> bool:
        """Whether it happens to this call; counts it."""
        names = (call.action, f"{call.service}:{call.action}")
        if not any(fnmatchcase(name, wanted) for wanted in self.actions for name in names) or not self.where(call):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.times is not None and len(self.hits) >= self.times:
            return False
        self.hits.append(call)
        return True

    def end(self) -> None:
        """It happens no more."""
        self.times = 0


class Faults:
    """All faults of a front; the first that takes a call has it."""

    def __init__(self) -> None:
        self.injections: list[Injection] = []
        self.unreachable: Fault | None = None

    async def __call__(self, call: Call, proceed: Proceed) -> Answer:
        """The layer."""
        if self.unreachable is not None:
            call.outcome = "unreachable"
            return await self.unreachable.happen(call, proceed)
        for injection in self.injections:
            if injection.takes(call):
                call.outcome = injection.fault.name
                return await injection.fault.happen(call, proceed)
        return await proceed(call)
