"""What is refused before any route sees it: endless heads, and without a token whatever comes from elsewhere."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_TARGET_BYTES = 32_768
HEAD_BYTES = 65_536
# The client that a proxy speaks for is not one on this machine, whatever the connection looks like.
_OF_PROXIES = re.compile(
    rb"x-forwarded(-.*)?|x-original-.*|forwarded(-.*)?|via|x-real-ip|(true-|x-|x-cluster-)?client-ip|cf-.*|x-proxyuser-ip"
    rb"|x-envoy-.*|x-amzn-.*|fastly-client-ip|fly-client-ip|proxy-connection|x-proxy-.*"
)


class Gate:
    """An ASGI middleware.

    Args:
        app: what it guards.
        open_to_all: no token is asked for, so that only this machine's own programs may be served.
    """

    def __init__(self, app: ASGIApp, *, open_to_all: bool) -> None:
        self._app = app
        self._open_to_all = open_to_all

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that is refused, and hand on all others."""
        refused = None if scope["type"] != "http" else self._refused(scope)
        if refused is None:
            await self._app(scope, receive, send)
            return
        code, told = refused
        await JSONResponse({"detail": told}, code)(scope, receive, send)

    def _refused(self, scope: Scope) -> tuple[int, str] | None:
        headers = scope["headers"]
        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > _TARGET_BYTES:
            return 414, f"The address has more than {_TARGET_BYTES} bytes. Shorten its parameters."
        if sum(len(name) + len(value) for name, value in headers) > HEAD_BYTES:
            return 431, f"The headers have more than {HEAD_BYTES} bytes. Send fewer."
        if not self._open_to_all:
            return None
        # Some proxies add no header; but they speak HTTP/1.0, which hardly any client does.
        if scope["http_version"] == "1.0" or any(_OF_PROXIES.fullmatch(name) for name, _ in headers):
            return 403, "Without API_TOKEN the API serves nobody through a proxy. Set a token."
        named = dict(headers)
        if _is_foreign(named.get(b"origin"), named.get(b"host", b"")):
            return 403, "Without API_TOKEN the API serves no page of another origin. Set a token."
        return None


def _is_foreign(origin: bytes | None, host: bytes) -> bool:
    """Whether a page in a browser asks that was not served here."""
    if origin is None:
        return False
    try:
        return urlsplit(origin.decode("latin-1")).netloc.lower() != host.decode("latin-1").lower()
    except ValueError:
        return True
