"""What routes are given: the service, and the run that is asked for."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Depends, HTTPException, Request

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
