"""A run's log, as Prefect keeps it: found by the run's id or name, read, and followed while the run goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterName,
    FlowRunFilterStartTime,
    LogFilter,
    LogFilterFlowRunId,
    LogFilterTimestamp,
)
from prefect.client.schemas.objects import FlowRun, Log
from prefect.client.schemas.sorting import FlowRunSort, LogSort

from tasks.core.errors import InputError

LAST = "last"
_READING = FlowFilter(name=FlowFilterName(any_=["process-document", "process-batch"]))
_STARTED = FlowRunFilter(start_time=FlowRunFilterStartTime(is_null_=False))
_AT_ONCE = 200
_POLL_SECONDS = 1.0
# Prefect's clients send their logs in batches: some come after later ones.
_LATE = timedelta(seconds=15)
_QUIET_POLLS = 3


async def find_run(client: PrefectClient, name: str) -> FlowRun:
    """Return a run by its id, its name or the beginning of it, the newest of several; or the last that read documents.

    Raises:
        InputError: there is none.
    """
    if name == LAST:
        if run := await _newest(client, _STARTED, _READING):
            return run
        raise InputError("Prefect knows no run that has read a document.")
    try:
        filters = [FlowRunFilter(id=FlowRunFilterId(any_=[UUID(name)]))]
    except ValueError:
        filters = [FlowRunFilter(name=FlowRunFilterName(any_=[name]))]
        filters.append(FlowRunFilter(name=FlowRunFilterName(like_=name)))
    for wanted in filters:
        if run := await _newest(client, wanted):
            return run
    raise InputError(f"Prefect knows no run {name!r}. Its UI lists them; the last one that read is: hearth logs last")


async def _newest(client: PrefectClient, wanted: FlowRunFilter, flow: FlowFilter | None = None) -> FlowRun | None:
    sort = FlowRunSort.START_TIME_DESC
    found = await client.read_flow_runs(flow_filter=flow, flow_run_filter=wanted, sort=sort, limit=1)
    return found[0] if found else None


async def read_log(client: PrefectClient, run: UUID, *, follow: bool) -> AsyncIterator[Log]:
    """Return the lines of a run's log and its tasks', in their order.

    Args:
        client: of Prefect.
        run: its id.
        follow: wait for more until the run has ended, and its last lines have come.
    """
    seen: dict[UUID, datetime] = {}
    after: datetime | None = None
    quiet = 0
    while True:
        ended = not follow or _is_final(await client.read_flow_run(run))
        more = False
        async for line in _lines(client, run, after):
            if line.id not in seen:
                more = True
                seen[line.id] = line.timestamp
                yield line
        quiet = 0 if more else quiet + 1
        if not follow or (ended and quiet >= _QUIET_POLLS):
            return
        if seen:
            after = max(seen.values()) - _LATE
            seen = {known: at for known, at in seen.items() if at >= after}
        await asyncio.sleep(_POLL_SECONDS)


async def _lines(client: PrefectClient, run: UUID, after: datetime | None) -> AsyncIterator[Log]:
    wanted = LogFilter(
        flow_run_id=LogFilterFlowRunId(any_=[run]),
        timestamp=LogFilterTimestamp(after_=after) if after else None,
    )
    offset = 0
    while True:
        found = await client.read_logs(wanted, limit=_AT_ONCE, offset=offset, sort=LogSort.TIMESTAMP_ASC)
        for line in found:
            yield line
        if len(found) < _AT_ONCE:
            return
        offset += _AT_ONCE


def _is_final(run: FlowRun) -> bool:
    return run.state is not None and run.state.is_final()
