"""The application in this process, over a STAND-IN for Prefect's API that keeps runs in memory."""

from __future__ import annotations

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
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Scheduled, State

from flows.api.app import create_app
from flows.api.records import Record
from flows.api.runs import Runs
from flows.api.service import Service
from flows.api.settings import ApiSettings
from flows.api.webhooks import Pending, Webhooks
from tasks.results.store import ResultStore
from tasks.settings.settings import Settings
from tests.support.waiting import PATIENCE

BEGAN = datetime(2026, 11, 30, 12, tzinfo=UTC)


class Prefect:
    """STAND-IN for Prefect's API."""

    def __init__(self) -> None:
        self.states: dict[UUID, State | None] = {}
        self.keys: dict[str, Any] = {}
        self.asked: list[int] = []
        self.trouble: Exception | None = None

    async def read_deployment_by_name(self, _: str) -> SimpleNamespace:
        self.asked.append(1)
        if self.trouble is not None:
            raise self.trouble
        return SimpleNamespace(id=uuid4())

    async def create_flow_run_from_deployment(self, _: object, *, idempotency_key: str, **asked: Any) -> Any:
        run = self.keys.setdefault(idempotency_key, SimpleNamespace(id=uuid4(), created=BEGAN, **asked))
        run.state = self.states.setdefault(run.id, Scheduled())
        return run

    async def read_flow_run(self, run: UUID) -> SimpleNamespace:
        if self.states.get(run) is None:
            raise ObjectNotFound(Exception())
        return SimpleNamespace(state=self.states[run])

    async def read_flow_runs(self, *, flow_run_filter: Any, limit: int) -> list[SimpleNamespace]:
        ids = flow_run_filter.id.any_
        assert len(ids) <= limit <= 200
        self.asked.append(len(ids))
        return [SimpleNamespace(id=run, state=self.states[run]) for run in ids if self.states.get(run) is not None]

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
        self.service.runs.remember(record)
        return record

    def webhook(self, record: Record) -> Path:
        """A webhook that is still to be sent when it has ended."""
        self.service.webhooks.add(record.id, "https://example.com/hook")
        return self.directory / "webhooks" / f"{Pending(run=record.id, url='https://example.com/hook').id}.json"


@asynccontextmanager
async def application(directory: Path, **settings: Any) -> AsyncIterator[Application]:
    """The application at an address of this machine, and a client of it."""
    api = ApiSettings(directory=directory / "api", prefect_seconds=PATIENCE, **settings)
    for name in ("documents", "results", "runs", "webhooks"):
        (api.directory / name).mkdir(parents=True)
    prefect: Any = Prefect()
    runs = Runs(api.directory / "runs", prefect, PATIENCE)
    app = create_app(Settings(), api)
    app.state.service = Service(
        Settings(), api, prefect, runs, Webhooks(api.directory / "webhooks", runs, prefect, api)
    )
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield Application(app, app.state.service, prefect, client)
