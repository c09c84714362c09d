"""Whether requests can be served, for load balancers: cheap however often it is asked, and open to everybody."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from flows.api.dependencies import TheService
from flows.api.openapi import OF_EVERY_ADDRESS, HealthView

router = APIRouter(tags=["health"], responses=OF_EVERY_ADDRESS)


@router.get("/health", responses={200: {"model": HealthView}, 503: {"model": HealthView, "description": "Not now."}})
async def get_health(service: TheService) -> JSONResponse:
    """Whether documents can be posted and read; if not, the parts that are missing. No token is needed."""
    missing = await service.health.missing()
    if not await asyncio.to_thread(os.access, service.api.directory, os.W_OK):
        missing = ["directory", *missing]
    told: dict[str, Any] = {"status": "unavailable", "missing": missing} if missing else {"status": "ok", "missing": []}
    return JSONResponse(told, 503 if missing else 200, {"Cache-Control": "no-store"})


@router.get("/health/live", response_model=HealthView)
async def get_live() -> dict[str, Any]:
    """Whether this process answers, whatever becomes of Prefect. No token is needed."""
    return {"status": "ok", "missing": []}
