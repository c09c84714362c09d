"""An HTTP API over the deployment that reads one PDF: post it, follow its pages, fetch its text.

`hearth serve-api` serves it; docs/how-to/api.md tells how it is used.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import uvicorn
from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from fastapi_offline import FastAPIOffline
from prefect.client.orchestration import get_client
from starlette.requests import ClientDisconnect

from flows.api import health, management, openapi
from flows.api.connections import limited
from flows.api.departure import unless_client_leaves
from flows.api.dependencies import TheRun, TheService, is_loopback, permit
from flows.api.followed import Followed
from flows.api.gate import HEAD_BYTES, Gate
from flows.api.limits import LimitedStream
from flows.api.posting import Post
from flows.api.prefect_state import is_over, status_of
from flows.api.records import numbers_in
from flows.api.retention import cleaned_daily
from flows.api.service import OURS, Service
from flows.api.settings import ApiSettings, load_api_settings
from flows.api.sse import END_ID, events
from flows.api.uploads import Upload, parameters
from flows.local.prefect_server import prefect_api
from tasks.core.errors import HearthError, InputError, LimitError
from tasks.core.private import check_access, restrict_directory
from tasks.settings.settings import Settings, load_settings

_GRACE_SECONDS = 5
_RETRY_AFTER_SECONDS = 10


router = APIRouter(prefix="/documents")


@router.post(
    "",
    status_code=202,
    response_model=None,
    responses=openapi.POSTED,
    openapi_extra={"requestBody": openapi.DOCUMENT_BODY, "parameters": parameters()},
)
async def post_document(request: Request, service: TheService) -> Response:
    """Have a PDF read. The same PDF with the same options is the same run."""
    post = Post(request, service)
    await post.check()
    with service.limits.upload(), Upload(service.api.directory / "documents", service.settings) as upload:
        posted = await post.receive(upload)
        run = await unless_client_leaves(request, service.accept(posted, upload))
    view = await run.view(state := await run.state())
    return JSONResponse(view, 200 if is_over(state) else 202, {"Location": view["links"]["self"]})


@router.get("/{document}", response_model=openapi.RunView, responses=openapi.refusals(404))
async def get_document(run: TheRun) -> dict[str, Any]:
    """How far a run is."""
    return await run.view(await run.state())


@router.get(
    "/{document}/events",
    response_class=StreamingResponse,
    responses={
        200: openapi.EVENTS,
        204: {"description": "The client has them all."},
        **openapi.refusals(400, 404, 429),
    },
)
async def get_events(
    run: TheRun, service: TheService, last_event_id: Annotated[str | None, Header()] = None, *, text: bool = False
) -> Response:
    """The pages as they are stored, and the end, as server-sent events; resumable with Last-Event-ID."""
    if last_event_id == END_ID:
        return Response(status_code=204)  # tells an EventSource not to come back
    try:
        sent = numbers_in(last_event_id or "", max(run.numbers, default=0))
    except InputError:
        raise HTTPException(400, "Last-Event-ID is not one of this stream's. Leave it out.") from None
    return LimitedStream(
        service.limits,
        events(run, sent, text=text),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


@router.get(
    "/{document}/text", response_class=FileResponse, responses={200: openapi.MARKDOWN, **openapi.refusals(404, 409)}
)
async def get_text(run: TheRun) -> FileResponse:
    """The pages in order, as Markdown."""
    called = run.record.filename and f"{Path(run.record.filename).stem}.md"
    return FileResponse(
        await _ready(run, "document.md"),
        media_type="text/markdown; charset=utf-8",
        filename=called,
        content_disposition_type="inline",
    )


@router.get(
    "/{document}/manifest", response_class=FileResponse, responses={200: openapi.MANIFEST, **openapi.refusals(404, 409)}
)
async def get_manifest(run: TheRun) -> FileResponse:
    """The account of the run."""
    return FileResponse(await _ready(run, "manifest.json"), media_type="application/json")


@router.get(
    "/{document}/pages/{number}", response_class=Response, responses={200: openapi.PAGE, **openapi.refusals(404, 409)}
)
async def get_page(run: TheRun, number: int) -> Response:
    """One page, as soon as it is stored."""
    if number not in run.numbers:
        raise HTTPException(404, f"Page {number} was not asked for: the run reads {run.record.pages}.")
    await run.look()
    result = run.store.page(number) if number in run.pages else None
    if result is None:
        raise HTTPException(409, f"Page {number} is not read yet.")
    return Response(result.model_dump_json(), media_type="application/json")


async def _ready(run: Followed, name: str) -> Path:
    """A file of the results, once the run has ended."""
    path = run.record.output / name
    state = await run.state()
    if is_over(state) and await asyncio.to_thread(path.exists):
        return path
    await run.look()
    told = f"{len(run.pages)} of {len(run.numbers)} pages are stored"
    if not is_over(state):
        raise HTTPException(409, f"The run is {status_of(state)}: {told}. Ask again when it has ended.")
    raise HTTPException(409, f"The run has ended ({status_of(state)}): {told}. Post the document again to go on.")


_log = logging.getLogger(__name__)


def create_app(settings: Settings | None = None, api: ApiSettings | None = None) -> FastAPI:
    """The application.

    Args:
        settings: Hearth's; read from the environment if None.
        api: its own; read from the environment if None.

    Raises:
        InputError: a setting is wrong.
    """
    hearth, own = settings or load_settings(), api or load_api_settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if note := restrict_directory(own.directory, OURS.__contains__):
            _log.warning(note)
        async with (
            prefect_api(hearth),
            get_client() as client,
            Service.over(hearth, own, client) as service,
            cleaned_daily(own, hearth),
        ):
            app.state.service = service
            yield

    # The form of /docs loads nothing from elsewhere, and asks no validator there.
    app = FastAPIOffline(
        title="Hearth", lifespan=lifespan, redoc_url=None, swagger_ui_parameters={"validatorUrl": None}
    )
    app.add_middleware(Gate, open_to_all=own.token is None)
    app.include_router(health.router)
    for documents in (router, management.router):
        app.include_router(
            documents,
            tags=["documents"],
            dependencies=[Depends(permit), Depends(openapi.BEARER)],
            responses=openapi.OF_EVERY_ROUTE,
        )

    @app.exception_handler(HearthError)
    async def _(_: Request, error: HearthError) -> JSONResponse:
        code = 413 if isinstance(error, LimitError) else 422 if isinstance(error, InputError) else 503
        headers = {"Retry-After": str(_RETRY_AFTER_SECONDS)} if code == 503 else None
        return JSONResponse({"detail": str(error)}, code, headers)

    @app.exception_handler(RequestValidationError)
    async def _(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return JSONResponse({"detail": f"The parameter {first['loc'][-1]} is wrong: {first['msg']}."}, 422)

    @app.exception_handler(ClientDisconnect)
    async def _(_: Request, __: ClientDisconnect) -> JSONResponse:
        return JSONResponse({"detail": "The client left before the response."}, 499)  # nobody reads it

    return app


def serve(host: str, port: int, told: Callable[[], None]) -> None:
    """Serve until a signal comes.

    Args:
        host: address to listen on.
        port: to listen on.
        told: called when all is well with the settings.

    Raises:
        InputError: a setting is wrong, or the address is open to others and no token is set.
        StorageError: the directory is another user's.
    """
    api = load_api_settings()
    if api.token is None and not is_loopback(host):
        raise InputError(f"Without API_TOKEN the API cannot be served at {host}: whoever reaches it could use it.")
    check_access(api.directory)
    # No log of requests: their parameters hold prompts and the addresses of webhooks.
    app = create_app(api=api)
    told()
    uvicorn.run(
        app,
        host=host,
        port=port,
        http=limited(api.connections, api.header_seconds),
        ws="none",  # its connections would be without limits
        h11_max_incomplete_event_size=HEAD_BYTES,
        log_level="error",  # warnings are of what strangers send
        access_log=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
