"""A run as a stream of server-sent events: each page when it is stored, and the end.

The worker that reads is another process, perhaps on another machine: what it stores is what is seen. An event's id
lists the pages that were sent so far, so that a client that comes back with it misses none.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterable
from typing import Any

from flows.api.followed import Followed
from flows.api.prefect_state import is_over
from flows.api.records import ranges
from tasks.core.errors import ServerError

END_ID = "end"

_LOOK_SECONDS = 0.2
_PREFECT_SECONDS = 1.0
_STILL_HERE_SECONDS = 15.0
_IDENTITY_LENGTH = 4096


async def events(run: Followed, sent: Iterable[int], *, text: bool) -> AsyncIterator[str]:
    """The events of a run, from now on.

    Args:
        run: the run.
        sent: the pages that the client has.
        text: each page's event brings its text.
    """
    known = set(sent)
    looked: tuple[int, bool] | None = None
    told = time.monotonic()
    yield "retry: 1000\n\n"
    while True:
        # Asked before the directory is looked at: whatever is stored when the run has ended is then seen.
        ended, state = False, None
        try:
            async with asyncio.timeout(_PREFECT_SECONDS):
                state = await run.state()
            ended = is_over(state)
        except (ServerError, TimeoutError):
            pass  # the pages go on without Prefect
        await run.look(anew=ended)
        new: list[int] = []
        if (run.changes, ended) != looked:
            looked = (run.changes, ended)
            new = sorted(n for n in run.pages if n not in known and run.stands(n, ended))
            known.update(new)
        for number in new:
            # Only the last of several lists them: who leaves in between gets these again, and misses none.
            yield _event("page", await _page(run, number, text=text), _identity(known) if number == new[-1] else None)
            told = time.monotonic()
        if ended:
            yield _event("end", await run.view(state), END_ID)
            return
        if time.monotonic() - told > _STILL_HERE_SECONDS:
            yield ": still here\n\n"
            told = time.monotonic()
        await asyncio.sleep(_LOOK_SECONDS)


async def _page(run: Followed, number: int, *, text: bool) -> dict[str, Any]:
    facts = run.pages[number].facts
    if not text:
        return facts
    result = await asyncio.to_thread(run.store.page, number)
    return facts if result is None else {**facts, "text": result.text}


def _identity(known: Iterable[int]) -> str:
    """What the client comes back with; as much of it as a header may hold, and the other pages come twice."""
    listed = ranges(known)
    return listed if len(listed) <= _IDENTITY_LENGTH else listed[:_IDENTITY_LENGTH].rpartition(",")[0]


def _event(name: str, data: dict[str, Any], identity: str | None) -> str:
    told = "" if identity is None else f"id: {identity}\n"
    return f"{told}event: {name}\ndata: {json.dumps(data)}\n\n"
