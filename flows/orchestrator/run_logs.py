"""Find a run by its id or name, and read its log from Prefect, or follow it while the run goes on."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import FlowFilter, FlowRunFilter, LogFilter
from prefect.client.schemas.objects import FlowRun, Log
from prefect.client.schemas.sorting import FlowRunSort, LogSort

from tasks.core.errors import InputError

LAST = "last"
_AT_ONCE = 200
_POLL_SECONDS = 1.0
_LATE = timedelta(seconds=15)
"""Prefect's clients send logs in batches, so some lines arrive after later ones."""
_QUIET_POLLS = 3


async def find_run(client: PrefectClient, name: str) -> FlowRun:
    """Return the newest run with an id, a name or the beginning of one; `LAST` is the last run that read documents."""
    if name == LAST:
        started = {"start_time": {"is_null_": False}}
        if run := await _newest(client, started, ["process-document", "process-batch"]):
            return run
        raise InputError("Prefect knows no run that has read a document.")
    try:
        filters: list[dict[str, Any]] = [{"id": {"any_": [UUID(name)]}}]
    except ValueError:
        filters = [{"name": {"any_": [name]}}, {"name": {"like_": name}}]
    for matching in filters:
        if run := await _newest(client, matching):
            return run
    raise InputError(f"Prefect knows no run {name!r}. Its UI lists them; the last one that read is: hearth logs last")


async def _newest(client: PrefectClient, matching: dict[str, Any], flows: list[str] | None = None) -> FlowRun | None:
    runs = await client.read_flow_runs(
        flow_filter=FlowFilter.model_validate({"name": {"any_": flows}}) if flows else None,
        flow_run_filter=FlowRunFilter.model_validate(matching),
        sort=FlowRunSort.START_TIME_DESC,
        limit=1,
    )
    return runs[0] if runs else None


async def read_log(client: PrefectClient, run: UUID, *, follow: bool) -> AsyncIterator[Log]:
    """Yield the log of a run and its tasks, a line at a time; with `follow` until the run's last lines have arrived."""
    seen: dict[UUID, datetime] = {}
    after: datetime | None = None
    quiet = 0
    while True:
        state = (await client.read_flow_run(run)).state if follow else None
        ended = not follow or (state is not None and state.is_final())
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
            seen = {line: at for line, at in seen.items() if at >= after}
        await asyncio.sleep(_POLL_SECONDS)


async def _lines(client: PrefectClient, run: UUID, after: datetime | None) -> AsyncIterator[Log]:
    matching = LogFilter.model_validate(
        {"flow_run_id": {"any_": [run]}, "timestamp": {"after_": after} if after else None}
    )
    offset = 0
    while True:
        page = await client.read_logs(matching, limit=_AT_ONCE, offset=offset, sort=LogSort.TIMESTAMP_ASC)
        for line in page:
            yield line
        if len(page) < _AT_ONCE:
            return
        offset += _AT_ONCE
