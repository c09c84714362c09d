"""Access to the HTTP API, and the dependencies of its routes: the service, and the run that a path names."""

import hmac
import ipaddress
import re
from typing import Annotated
from urllib.parse import urlsplit
from uuid import UUID

from fastapi import Depends, Header, HTTPException, Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from flows.api.followed import Followed
from flows.api.service import Service

HEAD_BYTES = 65_536
_TARGET_BYTES = 32_768
# A proxy connects from this machine on behalf of clients that may be anywhere.
_PROXY_HEADERS = re.compile(
    rb"x-forwarded(-.*)?|x-original-.*|forwarded(-.*)?|via|x-real-ip|(true-|x-|x-cluster-)?client-ip|cf-.*|x-proxyuser-ip"
    rb"|x-envoy-.*|x-amzn-.*|fastly-client-ip|fly-client-ip|proxy-connection|x-proxy-.*"
)


class Gate:
    """ASGI middleware that refuses oversized heads and, without a token, proxies and pages of other origins.

    `has_token` is whether requests need a token; without one, only programs of this machine are served.
    """

    def __init__(self, app: ASGIApp, *, has_token: bool) -> None:
        self._app = app
        self._has_token = has_token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or pass it to the application."""
        refusal = None if scope["type"] != "http" else self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, send)
            return
        code, detail = refusal
        await JSONResponse({"detail": detail}, code)(scope, receive, send)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = scope["headers"]
        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > _TARGET_BYTES:
            return 414, f"The URL has more than {_TARGET_BYTES} bytes. Shorten its parameters."
        if sum(len(name) + len(value) for name, value in headers) > HEAD_BYTES:
            return 431, f"The headers have more than {HEAD_BYTES} bytes. Send fewer."
        if self._has_token:
            return None
        # Some proxies add no header, but they speak HTTP/1.0, which hardly any client does.
        if scope["http_version"] == "1.0" or any(_PROXY_HEADERS.fullmatch(name) for name, _ in headers):
            return 403, "Without API_TOKEN the API serves nobody through a proxy. Set a token."
        by_name = dict(headers)
        if _is_foreign(by_name.get(b"origin"), by_name.get(b"host", b"")):
            return 403, "Without API_TOKEN the API serves no page of another origin. Set a token."
        return None


def _is_foreign(origin: bytes | None, host: bytes) -> bool:
    """Return whether a page that was served elsewhere sends a request from a browser."""
    if origin is None:
        return False
    try:
        return urlsplit(origin.decode("latin-1")).netloc.lower() != host.decode("latin-1").lower()
    except ValueError:
        return True


async def service_of(request: Request) -> Service:
    """Return the application's service."""
    service: Service = request.app.state.service
    return service


async def run_of(document: UUID, request: Request) -> Followed:
    """Return the run that the path names."""
    followed = (await service_of(request)).runs.follow(document)
    if followed is None:
        raise HTTPException(404, f"There is no run {document}.")
    return followed


TheService = Annotated[Service, Depends(service_of)]
TheRun = Annotated[Followed, Depends(run_of)]


async def authorize(
    request: Request, authorization: Annotated[str | None, Header(include_in_schema=False)] = None
) -> None:
    """Raise HTTPException 401 or 403 if the client may not use the API."""
    token = (await service_of(request)).api.token
    if token is None:
        # Only this machine can connect to loopback, and no page in its browser can do so under another host name.
        server = request.scope.get("server") or ("", None)
        if not (is_loopback(server[0]) and is_loopback(_host(request))):
            raise HTTPException(403, "Without API_TOKEN the API serves http://127.0.0.1 alone. Set a token.")
    elif not hmac.compare_digest((authorization or "").encode(), f"Bearer {token.get_secret_value()}".encode()):
        raise HTTPException(401, "The bearer token is missing or wrong.", {"WWW-Authenticate": "Bearer"})


def _host(request: Request) -> str:
    try:
        return request.url.hostname or ""
    except ValueError:
        return ""  # the header is no valid host name


def is_loopback(host: str) -> bool:
    """Return whether only this machine can connect to a host."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
