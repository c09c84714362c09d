"""The process of a Prefect server that Hearth starts: `python -m flows.local.prefect_app PORT`.

It serves Prefect's own application, with three differences: it binds the port before it imports Prefect, so that a used
port is noticed at once; it rejects requests for other host names, against DNS rebinding; and it can prove that it knows
the password, so that no client sends the password to a stranger.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import socket
import sys
from secrets import token_hex
from typing import TYPE_CHECKING

import httpx

from tasks.core.imports import importing

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

HOSTS = ("127.0.0.1", "localhost")
AUTH = "PREFECT_SERVER_API_AUTH_STRING"
_PATH = "/hearth-proof"
_NONCE_BYTES = 64


async def knows_password(client: httpx.AsyncClient, url: str, password: str) -> bool:
    """Return whether the server at an address knows the password, without sending it."""
    nonce = token_hex(16)
    response = await client.get(f"{url}{_PATH}", params={"nonce": nonce})
    return response.is_success and hmac.compare_digest(
        response.text.encode(), _proof(password, nonce.encode()).encode()
    )


def _proof(password: str, nonce: bytes) -> str:
    return hmac.new(password.encode(), b"hearth " + nonce, hashlib.sha256).hexdigest()


class Proving:
    """ASGI middleware that answers a nonce with its HMAC, keyed by the password."""

    def __init__(self, app: ASGIApp, password: str) -> None:
        self._app = app
        self._password = password

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a nonce, and pass all other requests to Prefect."""
        if scope["type"] != "http" or scope["path"] != _PATH:
            await self._app(scope, receive, send)
            return
        from starlette.responses import PlainTextResponse

        nonce = scope["query_string"].removeprefix(b"nonce=")[:_NONCE_BYTES]
        await PlainTextResponse(_proof(self._password, nonce))(scope, receive, send)


def main() -> None:
    """Serve until a signal arrives."""
    password = os.environ[AUTH]
    os.umask(0o077)  # its database holds secrets, and the key to them
    with socket.create_server((HOSTS[0], int(sys.argv[1]))) as listening:
        with importing():
            import uvicorn
            from prefect.server.api.server import create_app
            from prefect.settings import get_current_settings
            from starlette.middleware.trustedhost import TrustedHostMiddleware

            from flows.local.new_database import make_database

        make_database()
        api = get_current_settings().server.api
        app = TrustedHostMiddleware(Proving(create_app(final=True), password), list(HOSTS), www_redirect=False)
        config = uvicorn.Config(
            app,
            log_level=get_current_settings().server.logging_level.lower(),
            timeout_keep_alive=api.keepalive_timeout,
            ws_ping_interval=api.websocket_ping_interval,
            ws_ping_timeout=api.websocket_ping_timeout,
        )
        uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
