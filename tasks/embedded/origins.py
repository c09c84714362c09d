"""Ollama's guard against pages in a browser that come from elsewhere, and the CORS headers of those from here."""

import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tasks.embedded.routing import allow_header

_LOCAL = re.compile(
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


class LocalOriginsOnly:
    """Answers 403 to requests of pages that neither this server nor this machine served."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, answer a preflight, or refuse it."""
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        origin = headers.get("origin", "")
        if not origin or origin in {f"{scheme}://{headers.get('host', '')}" for scheme in ("http", "https")}:
            await self._app(scope, receive, send)
        elif not is_local_origin(origin):
            await Response(status_code=403)(scope, receive, send)
        elif scope["method"] == "OPTIONS":
            answer = {"Access-Control-Allow-Origin": origin, **_PREFLIGHT, **allow_header(scope.get("app"), scope)}
            await Response(status_code=204, headers=answer)(scope, receive, send)
        else:
            await self._app(scope, receive, _with_origin(send, origin))


def is_local_origin(origin: str) -> bool:
    """Whether an Origin header names this machine, or an application on it."""
    return _LOCAL.fullmatch(origin) is not None


def _with_origin(send: Send, origin: str) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update({"Access-Control-Allow-Origin": origin, "Vary": "Origin"})
        await send(message)

    return sent
