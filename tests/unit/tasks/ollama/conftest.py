"""A client of a scripted server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tasks.ollama.client import OllamaClient
from tests.support.ollama.scripted import ScriptedOllama
from tests.support.waiting import PATIENCE


@pytest.fixture
async def client(server: ScriptedOllama) -> AsyncIterator[OllamaClient]:
    async with OllamaClient(server.url, timeout=PATIENCE) as client:
        yield client
