"""The routes that list, cancel and delete runs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, HTTPException, Query, Response
from fastapi.responses import JSONResponse
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelling

from flows.api.deletion import delete
from flows.api.dependencies import TheRun, TheService
from flows.api.openapi import ListView, RunView, refusals
from flows.api.prefect_state import ASKED_AT_ONCE, Status, answer_of_prefect, is_over, states_of, status_of
from flows.api.run_index import Position
from flows.api.runs import Followed, listed
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
    states = await states_of(service.prefect, runs, service.api.prefect_seconds)
    return {run: status_of(states.get(run)) for run in runs}


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
    """Cancel a run, for all who have posted it. The pages that are stored stand. It may be asked for again."""
    if not is_over(await run.state(anew=True)):
        await _cancel(run, service)
    state = await run.state(anew=True)
    status = status_of(state)
    if is_over(state) and status is not Status.CANCELLED:
        raise HTTPException(409, f"The run has ended ({status}): there is nothing to cancel.")
    return JSONResponse(await run.view(state), 200 if is_over(state) else 202)


async def _cancel(run: Followed, service: Service) -> None:
    async def ask() -> None:
        # Prefect decides: a run that no worker has begun is cancelled at once, one that has ended stays as it is.
        with suppress(ObjectNotFound):
            await service.prefect.set_flow_run_state(run.record.id, Cancelling())

    await answer_of_prefect(ask, service.api.prefect_seconds)


@router.delete("/{document}", status_code=204, responses=refusals(404, 409))
async def delete_document(run: TheRun, service: TheService) -> None:
    """Delete a run that has ended: its results, its record, and its document unless another run has the same."""
    await delete(run, service)
