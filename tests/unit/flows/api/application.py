"""The application in this process, over a STAND-IN for Prefect's API that keeps runs in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import httpx
from fastapi import FastAPI
from prefect.client.schemas.objects import StateType
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.states import Cancelled, Scheduled, State

from flows.api.app import create_app
from flows.api.records import Record
from flows.api.service import Service
from flows.api.settings import ApiSettings
from flows.api.webhooks import Pending
from tasks.results.store import ResultStore
from tasks.settings.settings import Settings
from tests.support.waiting import PATIENCE, until_async

BEGAN = datetime(2026, 11, 30, 12, tzinfo=UTC)


class Prefect:
    """STAND-IN for Prefect's API."""

    def __init__(self) -> None:
        self.states: dict[UUID, State | None] = {}
        self.keys: dict[str, Any] = {}
        self.asked: list[int] = []
        self.trouble: Exception | None = None
        self.busy: int | None = None
        """The code that requests for runs are answered with; 0 is no answer at all."""
        self.silent = asyncio.Event()
        self.created: list[int] = []

    async def read_deployment_by_name(self, _: str) -> SimpleNamespace:
        self.asked.append(1)
        if self.trouble is not None:
            raise self.trouble
        return SimpleNamespace(id=uuid4())

    async def create_flow_run_from_deployment(self, _: object, *, idempotency_key: str, **asked: Any) -> Any:
        self.created.append(1)
        await self._trouble()
        made = {"id": uuid4(), "created": datetime.now(UTC), "idempotency_key": idempotency_key, **asked}
        run = self.keys.setdefault(idempotency_key, SimpleNamespace(**made))
        run.state = self.states.setdefault(run.id, Scheduled())
        return run

    async def read_flow_run(self, run: UUID) -> SimpleNamespace:
        if self.states.get(run) is None:
            raise ObjectNotFound(Exception())
        return SimpleNamespace(state=self.states[run])

    async def read_flow_runs(self, *, flow_run_filter: Any, limit: int = 200) -> list[SimpleNamespace]:
        if flow_run_filter.idempotency_key is not None:
            await self._trouble()
            return [run for key, run in self.keys.items() if key in flow_run_filter.idempotency_key.any_]
        ids = flow_run_filter.id.any_
        assert len(ids) <= limit <= 200
        self.asked.append(len(ids))
        return [SimpleNamespace(id=run, state=self.states[run]) for run in ids if self.states.get(run) is not None]

    async def _trouble(self) -> None:
        if self.busy == 0:
            await self.silent.wait()
        elif self.busy:
            response = httpx.Response(self.busy, request=httpx.Request("POST", "http://prefect"))
            raise PrefectHTTPStatusError.from_httpx_error(
                httpx.HTTPStatusError("busy", request=response.request, response=response)
            )

    async def set_flow_run_state(self, run: UUID, state: State) -> None:
        """As Prefect does: a scheduled run is cancelled at once, one that is over stays as it is."""
        known = self.states.get(run)
        if known is None:
            raise ObjectNotFound(Exception())
        if known.type is StateType.SCHEDULED:
            self.states[run] = Cancelled()
        elif not known.is_final():
            self.states[run] = state


@dataclass
class Application:
    """The application, and what it works with."""

    app: FastAPI
    service: Service
    prefect: Prefect
    client: httpx.AsyncClient
    made: int = field(default=0)

    @property
    def directory(self) -> Path:
        return self.service.api.directory

    def run(
        self, state: State | None = None, *, sha256: str = "", output: str = "", minutes: int | None = None
    ) -> Record:
        """A run that was posted, later than those before it, with its document and results."""
        self.made += 1
        sha256 = sha256 or f"{self.made:064x}"
        made = BEGAN + timedelta(minutes=self.made if minutes is None else minutes)
        results = self.directory / "results" / (output or f"{self.made}/paper-{sha256[:12]}")
        record = Record(id=uuid4(), sha256=sha256, pages="1", output=results, created=made)
        self.prefect.states[record.id] = state
        ResultStore(results).prepare()
        (results / "document.md").write_text("text")
        (self.directory / "documents" / f"{sha256}.pdf").write_bytes(b"%PDF-")
        self.service.runs.store(record)
        return record

    async def view(self, request: str) -> dict[str, Any]:
        """How far a request is."""
        return (await self.client.get(f"/documents/{request}")).json()

    async def submitted(self, request: str) -> dict[str, Any]:
        """How far it is, when it is a run of Prefect."""

        async def view() -> dict[str, Any] | None:
            shown = await self.view(request)
            return shown if shown["run"] else None

        return await until_async(view)

    def webhook(self, record: Record) -> Path:
        """A webhook that is still to be sent when it has ended."""
        self.service.webhooks.add(record.id, "https://example.com/hook")
        return self.directory / "webhooks" / f"{Pending(run=record.id, url='https://example.com/hook').id}.json"


@asynccontextmanager
async def application(directory: Path, **settings: Any) -> AsyncIterator[Application]:
    """The application at an address of this machine, and a client of it."""
    api = ApiSettings(directory=directory / "api", prefect_seconds=PATIENCE, **settings)
    prefect: Any = Prefect()
    app = create_app(Settings(), api)
    async with Service.run(Settings(), api, prefect) as service:
        app.state.service = service
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            yield Application(app, service, prefect, client)
