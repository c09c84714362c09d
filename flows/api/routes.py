"""The routes of the HTTP API."""

import asyncio
import os
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Header, HTTPException, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse

from flows.api import openapi
from flows.api.access import TheRun, TheService
from flows.api.followed import Followed, list_view
from flows.api.limits import LimitedStream
from flows.api.openapi import HealthView, ListView, RunView, refusals
from flows.api.posting import Post, unless_client_leaves
from flows.api.prefect_state import STATES_PER_REQUEST, Status, is_over, status_of
from flows.api.retention import delete_run
from flows.api.run_index import Position
from flows.api.sse import END_ID, events
from flows.api.uploads import Upload, option_parameters
from tasks.core.errors import InputError
from tasks.core.page_ranges import parse_ranges
from tasks.results.export import ExportFormat, exported

MOST_EXAMINED = 5 * STATES_PER_REQUEST
"""Most runs that one request for a filtered list examines."""
_MOST_LISTED = 100

health = APIRouter(tags=["health"], responses=openapi.OF_EVERY_ADDRESS)
documents = APIRouter(prefix="/documents")


@health.get("/health", responses={200: {"model": HealthView}, 503: {"model": HealthView, "description": "Not now."}})
async def get_health(service: TheService) -> JSONResponse:
    """Return whether documents can be posted and read, and the parts that are missing if not. No token is needed."""
    missing = await service.prefect.missing()
    if not await asyncio.to_thread(os.access, service.api.directory, os.W_OK):
        missing = ["directory", *missing]
    view = {"status": "unavailable" if missing else "ok", "missing": missing}
    return JSONResponse(view, 503 if missing else 200, {"Cache-Control": "no-store"})


@health.get("/health/live", response_model=HealthView)
async def get_live() -> dict[str, Any]:
    """Return whether this process responds, whatever the state of Prefect. No token is needed."""
    return {"status": "ok", "missing": []}


@documents.post(
    "",
    status_code=202,
    response_model=None,
    responses=openapi.POSTED,
    openapi_extra={"requestBody": openapi.DOCUMENT_BODY, "parameters": option_parameters()},
)
async def post_document(request: Request, service: TheService) -> Response:
    """Read a document. The same document with the same options is the same run."""
    post = Post(request, service)
    await post.check()
    with service.limits.upload(), Upload(service.api.directory / "documents", service.settings) as upload:
        posted = await post.receive(upload)
        run = await unless_client_leaves(request, service.accept(posted, upload))
    view = await run.view(state := await run.state())
    return JSONResponse(view, 200 if is_over(state) else 202, {"Location": view["links"]["self"]})


@documents.get("/{document}", response_model=RunView, responses=refusals(404))
async def get_document(run: TheRun) -> dict[str, Any]:
    """Return the progress of a run."""
    return await run.view(await run.state())


@documents.get(
    "/{document}/events",
    response_class=StreamingResponse,
    responses={
        200: openapi.EVENTS,
        204: {"description": "The client has received all events."},
        **refusals(400, 404, 429),
    },
)
async def get_events(
    run: TheRun, service: TheService, last_event_id: Annotated[str | None, Header()] = None, *, text: bool = False
) -> Response:
    """Stream the pages as they are stored, and the end, as server-sent events; resumable with Last-Event-ID."""
    if last_event_id == END_ID:
        return Response(status_code=204)  # an EventSource then does not reconnect
    try:
        sent = parse_ranges(last_event_id or "", max(run.numbers, default=0))
    except InputError:
        raise HTTPException(400, "Last-Event-ID is not from this stream. Leave it out.") from None
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return LimitedStream(service.limits, events(run, sent, text=text), headers=headers)


@documents.get("/{document}/text", response_class=FileResponse, responses={200: openapi.MARKDOWN, **refusals(404, 409)})
async def get_text(run: TheRun) -> FileResponse:
    """Return the pages in order, as Markdown."""
    return FileResponse(
        await _result_file(run, "document.md"),
        media_type="text/markdown; charset=utf-8",
        filename=run.record.filename and f"{Path(run.record.filename).stem}.md",
        content_disposition_type="inline",
    )


@documents.get("/{document}/data", response_class=FileResponse, responses={200: openapi.DATA, **refusals(404, 409)})
async def get_data(run: TheRun) -> FileResponse:
    """Return the data of the pages in order, a line of JSON each, if the document was posted with a `json_schema`."""
    await _result_file(run, "document.md")
    manifest = await asyncio.to_thread(run.store.manifest)
    if manifest is None or not manifest.has_data:
        raise HTTPException(404, "The run has no data: the document was posted without json_schema.")
    return FileResponse(await _result_file(run, "data.jsonl"), media_type="application/jsonl")


@documents.get(
    "/{document}/manifest", response_class=FileResponse, responses={200: openapi.MANIFEST, **refusals(404, 409)}
)
async def get_manifest(run: TheRun) -> FileResponse:
    """Return the manifest of the run: pages, times, machines and costs."""
    return FileResponse(await _result_file(run, "manifest.json"), media_type="application/json")


@documents.get("/{document}/pages", response_class=StreamingResponse, responses={200: openapi.PAGES, **refusals(404)})
async def get_pages(run: TheRun) -> StreamingResponse:
    """Return the pages that are stored, in order, a line of JSON each as `hearth export` writes it."""
    await run.look()
    lines = exported(run.store, ExportFormat.JSONL, lambda _: None, sorted(run.pages))
    return StreamingResponse(lines, media_type="application/jsonl")


@documents.get(
    "/{document}/pages/{number}", response_class=Response, responses={200: openapi.PAGE, **refusals(404, 409)}
)
async def get_page(run: TheRun, number: int) -> Response:
    """Return one page as soon as it is stored."""
    if number not in run.numbers:
        raise HTTPException(404, f"Page {number} is not part of the run, which reads {run.record.pages}.")
    await run.look()
    result = run.store.page(number) if number in run.pages else None
    if result is None:
        raise HTTPException(409, f"Page {number} has not been read yet.")
    return Response(result.model_dump_json(), media_type="application/json")


async def _result_file(run: Followed, name: str) -> Path:
    """Return the path of a result that exists once the run has ended."""
    path = run.record.output / name
    state = await run.state()
    if is_over(state) and await asyncio.to_thread(path.exists):
        return path
    await run.look()
    stored = f"{len(run.pages)} of {len(run.numbers)} pages are stored"
    if not is_over(state):
        raise HTTPException(409, f"The run is {status_of(state)}: {stored}. Ask again when it has ended.")
    raise HTTPException(409, f"The run has ended ({status_of(state)}): {stored}. Post the document again to go on.")


@documents.get("", response_model=ListView)
async def get_documents(
    service: TheService,
    limit: Annotated[int, Query(ge=1, le=_MOST_LISTED, description="Maximum number of runs in the response.")] = 20,
    cursor: Annotated[str | None, Query(max_length=64, description="Where to continue, from `next`.")] = None,
    status: Annotated[list[Status] | None, Query(description="Only runs with this status; may be repeated.")] = None,
) -> dict[str, Any]:
    """List the runs, newest first.

    With a status, a response may contain fewer than `limit` runs, or none, although there are more: continue while
    there is a `next`.
    """
    after = Position.parse(cursor) if cursor else None
    wanted = frozenset(status or ())
    views: list[dict[str, Any]] = []
    examined = 0
    while len(views) < limit and examined < MOST_EXAMINED:
        most = STATES_PER_REQUEST if wanted else limit - len(views)
        rows = await asyncio.to_thread(service.runs.index.after, after, most)
        if not rows:
            break
        states = await service.runs.states([row.id for row in rows])
        for row in rows:
            after = row
            shown = status_of(states[row.id])
            if (not wanted or shown in wanted) and (record := service.runs.record(row.id)) is not None:
                views.append(list_view(record, shown))
                if len(views) == limit:
                    break
        examined += len(rows)
    more = await asyncio.to_thread(service.runs.index.after, after, 1)
    chosen = "".join(f"&status={name}" for name in sorted(wanted))
    return {"documents": views, "next": f"/documents?limit={limit}&cursor={after}{chosen}" if more else None}


@documents.post(
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
    """Cancel a run, for all who have posted it, or remove it from the queue. Stored pages are kept."""
    ended = is_over(await run.state(fresh=True))
    if not ended and not await asyncio.to_thread(service.accepted.withdraw, run.record):
        run.refresh()
        if run.record.run is not None:
            await service.prefect.cancel(run.record.run)
    state = await run.state(fresh=True)
    status = status_of(state)
    if is_over(state) and status is not Status.CANCELLED:
        raise HTTPException(409, f"The run has ended ({status}): there is nothing to cancel.")
    return JSONResponse(await run.view(state), 200 if is_over(state) else 202)


@documents.delete("/{document}", status_code=204, responses=refusals(404, 409))
async def delete_document(run: TheRun, service: TheService) -> None:
    """Delete a run that has ended: its results, its record, and its document unless another run uses the same."""
    await delete_run(run, service)
