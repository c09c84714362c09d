"""A page reader with a plan and a store, on a scripted server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tasks.core.errors import PageError
from tasks.core.events import Event, subscribe
from tasks.core.jobs import BackendName, Fallback, Plan, ReadOptions
from tasks.documents.pdf import open_document
from tasks.documents.render import Renderer
from tasks.models.call import plan_call
from tasks.models.profile import Profile
from tasks.reading.page_reader import PageReader
from tasks.results.store import ResultStore
from tasks.serving.server_pool import Server
from tasks.settings.reading import LimitSettings, ReadSettings
from tests.support.ollama.scripted import ScriptedOllama, reads
from tests.support.ollama.wire import MODEL
from tests.support.pooled import pooled

OPTIONS = ReadOptions(prompt="Transcribe.", longest_side=200, num_ctx=8192, num_predict=4096)
GENERAL = Profile(name="general")
EMPTY = reads("  \n")
LOOP = reads("the same words again and " * 50)


@dataclass
class Reading:
    """A reader, the plan and the store that it has."""

    reader: PageReader
    plan: Plan
    store: ResultStore
    events: list[Event]
    servers: list[Server]

    async def fails(self, number: int, attempt: int) -> PageError:
        with pytest.raises(PageError) as caught:
            await self.reader.read(number, attempt)
        return caught.value


@asynccontextmanager
async def opened(
    server: ScriptedOllama,
    path: Path,
    *others: str,
    attempts: int = 3,
    slots: int = 2,
    retry_seconds: float = 60,
    fallback: Fallback = Fallback.NONE,
    profile: Profile = GENERAL,
    schema: str = "",
) -> AsyncIterator[Reading]:
    plan = Plan(
        document=open_document(path, LimitSettings()),
        numbers=(1, 2),
        backend=BackendName.URL,
        model=MODEL,
        options=OPTIONS,
        output=path.parent / "results",
        slots=slots,
        attempts=attempts,
        force=False,
        require_gpu=False,
        fallback=fallback,
    )
    store = ResultStore(plan.output)
    store.prepare()
    call = plan_call(MODEL, profile, OPTIONS, OPTIONS.model_dump(), schema)
    settings = ReadSettings(retry_seconds=retry_seconds)
    async with (
        Renderer(path, OPTIONS.longest_side, LimitSettings()) as renderer,
        pooled(server.url, *others, home=path.parent, slots=slots, settings=settings) as (servers, joined),
    ):
        reader = PageReader(plan, call, 600, servers=servers, renderer=renderer, store=store, settings=settings)
        events: list[Event] = []
        with subscribe(events.append):
            yield Reading(reader, plan, store, events, joined)
