"""What routes depend on: that whoever asks may, the service, and the run that is asked for."""

from __future__ import annotations

import hmac
import ipaddress
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Header, HTTPException, Request

from flows.api.followed import Followed
from flows.api.service import Service


async def service_of(request: Request) -> Service:
    """Return what the application works with."""
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


async def permit(
    request: Request, authorization: Annotated[str | None, Header(include_in_schema=False)] = None
) -> None:
    """See that a request may be answered.

    Raises:
        HTTPException: 401 or 403, it may not.
    """
    token = (await service_of(request)).api.token
    if token is None:
        # Nobody else can connect to loopback; and a page in a browser here cannot under another name.
        local = request.scope.get("server") or ("", None)
        if not (is_loopback(local[0]) and is_loopback(_host(request))):
            raise HTTPException(403, "Without API_TOKEN the API serves http://127.0.0.1 alone. Set a token.")
    elif not hmac.compare_digest((authorization or "").encode(), f"Bearer {token.get_secret_value()}".encode()):
        raise HTTPException(401, "The bearer token is missing or wrong.", {"WWW-Authenticate": "Bearer"})


def _host(request: Request) -> str:
    try:
        return request.url.hostname or ""
    except ValueError:
        return ""  # as it was sent, it is no host's name


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to a host."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
