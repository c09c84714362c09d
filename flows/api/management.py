"""The routes that list, cancel and delete runs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, HTTPException, Query, Response
from fastapi.responses import JSONResponse

from flows.api.deletion import delete
from flows.api.dependencies import TheRun, TheService
from flows.api.followed import Followed, listed
from flows.api.openapi import ListView, RunView, refusals
from flows.api.prefect_state import ASKED_AT_ONCE, Status, cancel, is_over, status_of
from flows.api.run_index import Position
from flows.api.service import Service

_MOST_LISTED = 100
_MOST_LOOKED_AT = 5 * ASKED_AT_ONCE
"""Of the runs that are looked through for those with a status, in a request."""

router = APIRouter(prefix="/documents")


@router.get("", response_model=ListView)
async def get_documents(
    service: TheService,
    limit: Annotated[int, Query(ge=1, le=_MOST_LISTED, description="The most runs in the response.")] = 20,
    cursor: Annotated[str | None, Query(max_length=64, description="Where to go on, as `next` has it.")] = None,
    status: Annotated[list[Status] | None, Query(description="Only runs with this status; may be repeated.")] = None,
) -> dict[str, Any]:
    """The runs, newest first.

    With a status, a response may hold fewer than `limit`, or none, although there are more: go on while there is a
    `next`.
    """
    after = Position.parse(cursor) if cursor else None
    wanted = frozenset(status or ())
    found: list[dict[str, Any]] = []
    looked_at = 0
    while len(found) < limit and looked_at < _MOST_LOOKED_AT:
        rows = await asyncio.to_thread(service.runs.index.after, after, ASKED_AT_ONCE if wanted else limit - len(found))
        if not rows:
            break
        statuses = await _statuses(service, [row.id for row in rows])
        for row in rows:
            after = row
            told = statuses[row.id]
            if (not wanted or told in wanted) and (record := service.runs.record(row.id)) is not None:
                found.append(listed(record, told))
                if len(found) == limit:
                    break
        looked_at += len(rows)
    more = await asyncio.to_thread(service.runs.index.after, after, 1)
    chosen = "".join(f"&status={each}" for each in sorted(wanted))
    return {"documents": found, "next": f"/documents?limit={limit}&cursor={after}{chosen}" if more else None}


async def _statuses(service: Service, runs: Sequence[UUID]) -> dict[UUID, Status]:
    return {run: status_of(state) for run, state in (await service.runs.states(runs)).items()}


@router.post(
    "/{document}/cancel",
    status_code=202,
    response_model=None,
    responses={
        202: {"model": RunView, "description": "It is being cancelled."},
        200: {"model": RunView, "description": "It is cancelled."},
        **refusals(404, 409),
    },
)
async def cancel_document(run: TheRun, service: TheService) -> Response:
    """Cancel a run, for all who have posted it. In the queue, it is taken out. Stored pages stand."""
    if not is_over(await run.state(anew=True)):
        await _cancel(run, service)
    state = await run.state(anew=True)
    status = status_of(state)
    if is_over(state) and status is not Status.CANCELLED:
        raise HTTPException(409, f"The run has ended ({status}): there is nothing to cancel.")
    return JSONResponse(await run.view(state), 200 if is_over(state) else 202)


async def _cancel(run: Followed, service: Service) -> None:
    if not await asyncio.to_thread(service.accepted.take_out, run.record):
        run.refresh()
        if run.record.run is not None:
            await cancel(service.prefect, run.record.run, service.api.prefect_seconds)


@router.delete("/{document}", status_code=204, responses=refusals(404, 409))
async def delete_document(run: TheRun, service: TheService) -> None:
    """Delete a run that has ended: its results, its record, and its document unless another run has the same."""
    await delete(run, service)
