"""Time limits of an answer: until it begins, between its pieces, and as a whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tasks.core.errors import NoResponseError


@dataclass(frozen=True, slots=True)
class AnswerLimits:
    """The longest waits for an answer, in seconds.

    Attributes:
        first: until its first piece: the server's queue, the image and the prompt.
        silence: between two pieces.
        whole: for all of it.
    """

    first: float
    silence: float
    whole: float

    @classmethod
    def within(cls, seconds: float) -> AnswerLimits:
        """Return the limits of an answer that may be silent as long as it is complete in time."""
        return cls(seconds, seconds, seconds)

    @property
    def longest_silence(self) -> float:
        """The longest time without a piece, first or later."""
        return max(self.first, self.silence)


@asynccontextmanager
async def limited(url: str, limits: AnswerLimits) -> AsyncIterator[Callable[[], None]]:
    """Limit the time of an answer. Yields a function to call at each of its pieces.

    Only pieces count, not bytes: comments that keep a connection open come from the server's network code, as every
    second from llama-server, and go on while its model hangs (https://github.com/ggml-org/llama.cpp/pull/25241).

    Args:
        url: of the server, for messages.
        limits: the longest waits.

    Raises:
        NoResponseError: a limit has passed.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + limits.whole
    begun = False
    try:
        async with asyncio.timeout_at(min(end, loop.time() + limits.first)) as timeout:

            def heard() -> None:
                nonlocal begun
                begun = True
                if not timeout.expired():
                    timeout.reschedule(min(end, loop.time() + limits.silence))

            yield heard
    except TimeoutError:
        if loop.time() >= end:
            problem = f"did not finish an answer within {limits.whole:g} s (HEARTH_READ__TIMEOUT_SECONDS)"
        elif begun:
            problem = f"sent nothing more of an answer for {limits.silence:g} s (HEARTH_READ__SILENCE_SECONDS)"
        else:
            problem = f"did not begin to answer within {limits.first:g} s (HEARTH_READ__FIRST_TOKEN_SECONDS)"
        raise NoResponseError(f"{url} {problem}.") from None
