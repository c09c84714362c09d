"""The HTTP API: post a PDF, follow the run that reads it, fetch its text. docs/how-to/api.md shows how to use it."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import uvicorn
from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi_offline import FastAPIOffline
from prefect.client.orchestration import get_client
from starlette.requests import ClientDisconnect

from flows.api import openapi, routes
from flows.api.access import HEAD_BYTES, Gate, authorize, is_loopback
from flows.api.connections import limited_protocol
from flows.api.retention import clean_daily
from flows.api.service import ENTRIES, Service
from flows.api.settings import ApiSettings, load_api_settings
from flows.local.prefect_server import prefect_api
from tasks.core.aio import background
from tasks.core.errors import HearthError, InputError, LimitError
from tasks.core.private import check_access, restrict_directory
from tasks.settings.settings import Settings, load_settings

_GRACE_SECONDS = 5
_RETRY_AFTER_SECONDS = 10

_log = logging.getLogger(__name__)


def create_app(settings: Settings | None = None, api: ApiSettings | None = None) -> FastAPI:
    """Return the application; settings that are None are read from the environment, or InputError is raised."""
    settings, api = settings or load_settings(), api or load_api_settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if note := restrict_directory(api.directory, ENTRIES.__contains__):
            _log.warning(note)
        async with (
            prefect_api(settings),
            get_client() as client,
            Service.run(settings, api, client) as service,
            background(clean_daily(api, settings)),
        ):
            app.state.service = service
            yield

    # The page /docs loads nothing from other sites, and sends nothing to a validator there.
    app = FastAPIOffline(
        title="Hearth", lifespan=lifespan, redoc_url=None, swagger_ui_parameters={"validatorUrl": None}
    )
    app.add_middleware(Gate, has_token=api.token is not None)
    app.include_router(routes.health)
    app.include_router(
        routes.documents,
        tags=["documents"],
        dependencies=[Depends(authorize), Depends(openapi.BEARER)],
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


def serve(host: str, port: int, started: Callable[[], None]) -> None:
    """Serve at a host and port until a signal arrives; `started` is called once the settings are known to be valid.

    Raises:
        InputError: a setting is wrong, or others can reach the address and no token is set.
        StorageError: the directory belongs to another user.
    """
    api = load_api_settings()
    if api.token is None and not is_loopback(host):
        raise InputError(
            f"Without API_TOKEN the API cannot be served at {host}: everybody who reaches it could use it."
        )
    check_access(api.directory)
    # Requests are not logged: their parameters contain prompts and the URLs of webhooks.
    app = create_app(api=api)
    started()
    uvicorn.run(
        app,
        host=host,
        port=port,
        http=limited_protocol(api.connections, api.header_seconds),
        ws="none",  # its connections would have no limits
        h11_max_incomplete_event_size=HEAD_BYTES,
        log_level="error",  # clients could cause warnings without end
        access_log=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
