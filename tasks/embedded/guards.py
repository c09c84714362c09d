"""Ollama's guards against web pages that reach a loopback server: the Origin and Host headers, and CORS."""

import ipaddress
import re
import socket

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tasks.embedded.routing import allow_header

_LOCAL_DOMAINS = (".localhost", ".local", ".internal")
_LOCAL_ORIGIN = re.compile(
    r"https?://(localhost|127\.0\.0\.1|0\.0\.0\.0)(:\d+)?|(app|file|tauri|vscode-webview|vscode-file)://.*"
)
_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS",
    "Access-Control-Allow-Headers": (
        "Authorization,Content-Type,User-Agent,Accept,X-Requested-With,Openai-Beta,X-Stainless-Arch,X-Stainless-Async,"
        "X-Stainless-Custom-Poll-Interval,X-Stainless-Helper-Method,X-Stainless-Lang,X-Stainless-Os,"
        "X-Stainless-Package-Version,X-Stainless-Poll-Helper,X-Stainless-Retry-Count,X-Stainless-Runtime,"
        "X-Stainless-Runtime-Version,X-Stainless-Timeout"
    ),
    "Access-Control-Max-Age": "43200",
    "Vary": "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
}


class LocalHostsOnly:
    """Middleware that refuses, with 403, requests whose Host is neither this machine nor a private address."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] == "http" and not is_local(Headers(scope=scope).get("host", "")):
            await Response(status_code=403)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def is_local(host: str) -> bool:
    """Return whether a Host header, with or without a port, names this machine or a private address."""
    name = host.lower()
    if name.startswith("["):
        name = name[1:].partition("]")[0]
    elif name.count(":") == 1:
        name = name.partition(":")[0]
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name in {"", "localhost", socket.gethostname().lower()} or name.endswith(_LOCAL_DOMAINS)
    return address.is_loopback or address.is_private or address.is_unspecified


class LocalOriginsOnly:
    """Middleware that refuses, with 403, requests of web pages that come neither from this server nor this machine."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, answer a preflight, or refuse it."""
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        origin = headers.get("origin", "")
        if not origin or origin in {f"{scheme}://{headers.get('host', '')}" for scheme in ("http", "https")}:
            await self._app(scope, receive, send)
        elif not _LOCAL_ORIGIN.fullmatch(origin):
            await Response(status_code=403)(scope, receive, send)
        elif scope["method"] == "OPTIONS":
            answer = {"Access-Control-Allow-Origin": origin, **_PREFLIGHT, **allow_header(scope.get("app"), scope)}
            await Response(status_code=204, headers=answer)(scope, receive, send)
        else:

            async def send_with_origin(message: Message) -> None:
                if message["type"] == "http.response.start":
                    MutableHeaders(scope=message).update({"Access-Control-Allow-Origin": origin, "Vary": "Origin"})
                await send(message)

            await self._app(scope, receive, send_with_origin)
