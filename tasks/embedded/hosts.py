"""Ollama's guard against pages in a browser that reach a loopback server under a name of their own."""

import ipaddress
import socket

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

LOCAL_DOMAINS = (".localhost", ".local", ".internal")


class LocalHostsOnly:
    """Answers 403 to requests whose Host header names neither this machine nor a private address."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] == "http" and not is_local(Headers(scope=scope).get("host", "")):
            await Response(status_code=403)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def is_local(host: str) -> bool:
    """Whether a Host header, with or without a port, names this machine or a private address."""
    name = host.lower()
    if name.startswith("["):
        name = name[1:].partition("]")[0]
    elif name.count(":") == 1:
        name = name.partition(":")[0]
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name in {"", "localhost", socket.gethostname().lower()} or name.endswith(LOCAL_DOMAINS)
    return address.is_loopback or address.is_private or address.is_unspecified
