"""Wait for a step of a server's warm-up, and retry it while its errors may pass."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import stamina

from tasks.core.errors import HearthError, PageError, ServerError, ServerFaultError, TransientError
from tasks.core.events import RunWarning, emit
from tasks.inference.server_words import kind_of

T = TypeVar("T")

_FAULT_SECONDS = 1.0
"""Pause after an error of the server itself: memory that another model frees is not available at once."""


@dataclass(frozen=True)
class Deadline:
    """When a wait ends, on the monotonic clock, and the setting that moves it."""

    at: float
    setting: str

    @classmethod
    def after(cls, seconds: float, setting: str) -> Deadline:
        """Return a deadline so many seconds from now."""
        return cls(time.monotonic() + seconds, f"HEARTH_WARM__{setting.upper()}")

    @property
    def left(self) -> float:
        """Seconds until then; never 0, so that everything is tried once."""
        return max(0.01, self.at - time.monotonic())

    def later(self, seconds: float) -> Deadline:
        """Return this deadline, so many seconds later."""
        return Deadline(self.at + seconds, self.setting)


class Wait:
    """Waits for one step. Retries end at the deadline; the last try is cancelled at `longest`, by default the deadline.

    `final` makes the error of a wait that ends because the server returned the same error twice; if None, that error
    may pass, too.
    """

    def __init__(
        self,
        deadline: Deadline,
        *,
        longest: Deadline | None = None,
        final: Callable[[str], HearthError] | None = None,
    ) -> None:
        self._deadline = deadline
        self._longest = longest or deadline
        self._final = final
        self._faults: set[str] = set()
        self._shown: set[str] = set()
        self._last = "it has not answered"

    def forget(self) -> None:
        """Forget the errors so far, because progress was made since."""
        self._faults.clear()

    async def until(self, call: Callable[[], Awaitable[T]]) -> T:
        """Repeat a call while its errors may pass; warn of each new one.

        Raises:
            ServerError: the deadline has passed, or the server does not understand the call.
            HearthError: the error of `final`, or of the call.
        """
        try:
            async with asyncio.timeout(self._longest.left):
                async for attempt in stamina.retry_context(
                    on=TransientError,
                    attempts=None,
                    timeout=self._deadline.left,
                    wait_initial=0.1,
                    wait_max=5.0,
                    wait_jitter=0.1,
                ):
                    with attempt:
                        return await self._tried(call)
        except (TimeoutError, TransientError) as error:
            # In either case it was the last try.
            passed = self._longest if isinstance(error, TimeoutError) else self._deadline
            raise ServerError(
                f"The server did not get warm before the deadline: {self._last}. Repair it, or raise {passed.setting}."
            ) from None
        except PageError as error:
            raise ServerError(f"The server does not accept Hearth's requests. {error}") from None
        raise AssertionError("the loop returns or raises")

    async def _tried(self, call: Callable[[], Awaitable[T]]) -> T:
        try:
            return await call()
        except TransientError as error:
            self._last = str(error).rstrip(".")
            kind = kind_of(self._last)
            if isinstance(error, ServerFaultError) and self._final is not None:
                if kind in self._faults:
                    raise self._final(error.words) from None
                self._faults.add(kind)
            if kind not in self._shown:
                self._shown.add(kind)
                emit(RunWarning(f"{self._last}. Trying again for {self._deadline.left:.0f} s."))
            if isinstance(error, ServerFaultError):
                await asyncio.sleep(_FAULT_SECONDS)
            raise
