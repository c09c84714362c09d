"""The HTTP API in front of a stand-in for Prefect."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import httpx
from fastapi import FastAPI
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.states import Scheduled, State

from flows.api.app import create_app
from flows.api.service import Service
from flows.api.settings import ApiSettings
from tasks.settings.settings import Settings
from tests.support.waiting import until_async


class Prefect:
    """STAND-IN for Prefect's API: it makes one run of each key, but for what it has to answer first.

    Attributes:
        troubles: HTTP codes that requests for runs are answered with, one after another; 0 is no answer at all.
        always: one that all are answered with.
    """

    def __init__(self, *troubles: int, always: int | None = None) -> None:
        self.troubles = list(troubles)
        self.always = always
        self.asked = 0
        self.runs: dict[str, SimpleNamespace] = {}
        self.deployed = True
        self.silent = asyncio.Event()

    async def read_deployment_by_name(self, _: str) -> SimpleNamespace:
        if not self.deployed:
            raise ObjectNotFound(None)
        return SimpleNamespace(id=uuid4())

    async def create_flow_run_from_deployment(
        self, _: UUID, *, name: str, parameters: dict[str, Any], idempotency_key: str, labels: dict[str, str]
    ) -> SimpleNamespace:
        self.asked += 1
        await asyncio.sleep(0)
        await self._trouble()
        made = {
            "id": uuid4(),
            "name": name,
            "parameters": parameters,
            "idempotency_key": idempotency_key,
            "labels": labels,
        }
        run = SimpleNamespace(**made, state=Scheduled(), created=datetime.now(UTC))
        return self.runs.setdefault(idempotency_key, run)

    async def read_flow_run(self, run: UUID) -> SimpleNamespace:
        await self._trouble()
        return next(each for each in self.runs.values() if each.id == run)

    async def read_flow_runs(self, **_: object) -> list[SimpleNamespace]:
        return []

    async def _trouble(self) -> None:
        code = self.troubles.pop(0) if self.troubles else self.always
        if code == 0:
            await self.silent.wait()
        if code:
            response = httpx.Response(code, request=httpx.Request("POST", "http://prefect"))
            raise PrefectHTTPStatusError.from_httpx_error(
                httpx.HTTPStatusError(f"HTTP {code}", request=response.request, response=response)
            )

    def end(self, state: State[Any]) -> None:
        """Have all runs end so, with results."""
        for run in self.runs.values():
            run.state = state
            name = Path(run.parameters["job"]["document"]).stem
            (Path(run.parameters["job"]["output"]) / f"{name}-{name[:12]}").mkdir(parents=True, exist_ok=True)


@asynccontextmanager
async def backend(kept: ApiSettings, prefect: Prefect, **limits: int) -> AsyncIterator[FastAPI]:
    """A backend over a stand-in for Prefect."""
    app = create_app(Settings(**limits), kept)
    async with Service.run(Settings(), kept, prefect) as app.state.service:
        yield app


@asynccontextmanager
async def serving(kept: ApiSettings, prefect: Prefect, **limits: int) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a backend over a stand-in for Prefect."""
    async with backend(kept, prefect, **limits) as app:
        transport, kind = httpx.ASGITransport(app), {"Content-Type": "application/pdf"}
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=kind) as client:
            yield client


async def accepted(client: httpx.AsyncClient, pdf: bytes, **options: Any) -> str:
    response = await client.post("/documents", content=pdf, params=options)
    assert response.status_code == 202, response.text
    return response.json()["id"]


async def viewed(client: httpx.AsyncClient, request: str) -> dict[str, Any]:
    return (await client.get(f"/documents/{request}")).json()


async def submitted(client: httpx.AsyncClient, request: str) -> dict[str, Any]:
    async def view() -> dict[str, Any] | None:
        shown = await viewed(client, request)
        return shown if shown.get("run") else None

    return await until_async(view)
