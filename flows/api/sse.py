"""A run as a stream of server-sent events: each page when it is stored, and the end.

The worker is another process, perhaps on another machine: its progress is read from the pages that it stores. An
event's id lists the pages that were sent so far, so that a client that reconnects with it misses none.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterable
from typing import Any

from fastapi.sse import format_sse_event

from flows.api.followed import Followed
from flows.api.prefect_state import is_over
from tasks.core.errors import ServerError
from tasks.core.page_ranges import format_ranges

END_ID = "end"

_POLL_SECONDS = 0.2
PREFECT_SECONDS = 1.0
_KEEP_ALIVE_SECONDS = 15.0
_LONGEST_ID = 4096


async def events(run: Followed, sent: Iterable[int], *, text: bool) -> AsyncIterator[bytes]:
    """Yield the events of a run from now on.

    Args:
        run: the run to follow.
        sent: the pages that the client has received.
        text: whether the event of a page contains its text, and its data if it has some.
    """
    known = set(sent)
    seen: tuple[int, bool] | None = None
    sent_at = time.monotonic()
    yield format_sse_event(retry=1000)
    while True:
        # The state is read before the pages, so that all pages that are stored when the run ends are sent.
        ended, state = False, None
        try:
            async with asyncio.timeout(PREFECT_SECONDS):
                state = await run.state()
            ended = is_over(state)
        except (ServerError, TimeoutError):
            pass  # pages are also sent without Prefect
        await run.look(fresh=ended)
        new: list[int] = []
        if (run.changes, ended) != seen:
            seen = (run.changes, ended)
            new = sorted(n for n in run.pages if n not in known and run.is_final(n, ended=ended))
            known.update(new)
        for number in new:
            # Only the last of several has an id: a client that leaves before it receives all of them again.
            yield _event("page", await _page(run, number, text=text), _event_id(known) if number == new[-1] else None)
            sent_at = time.monotonic()
        if ended:
            yield _event("end", await run.view(state), END_ID)
            return
        if time.monotonic() - sent_at > _KEEP_ALIVE_SECONDS:
            yield format_sse_event(comment="still here")
            sent_at = time.monotonic()
        await asyncio.sleep(_POLL_SECONDS)


async def _page(run: Followed, number: int, *, text: bool) -> dict[str, Any]:
    facts = run.pages[number].facts
    if not text:
        return facts
    result = await asyncio.to_thread(run.store.page, number)
    if result is None:
        return facts
    return {**facts, "text": result.text, **({} if result.data is None else {"data": result.data})}


def _event_id(known: Iterable[int]) -> str:
    """Return the pages as an id that fits into a header; pages that do not fit are sent twice."""
    listed = format_ranges(known)
    return listed if len(listed) <= _LONGEST_ID else listed[:_LONGEST_ID].rpartition(",")[0]


def _event(name: str, data: dict[str, Any], event_id: str | None) -> bytes:
    return format_sse_event(event=name, data_str=json.dumps(data), id=event_id)
