"""A client of a scripted server, and what is told meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tasks.core.events import Event, subscribe
from tasks.ollama.client import OllamaClient
from tests.support.ollama.scripted import ScriptedOllama
from tests.support.waiting import PATIENCE


@pytest.fixture
async def client(server: ScriptedOllama) -> AsyncIterator[OllamaClient]:
    async with OllamaClient(server.url, timeout=PATIENCE) as client:
        yield client


@pytest.fixture
def told() -> Iterator[list[Event]]:
    events: list[Event] = []
    with subscribe(events.append):
        yield events
