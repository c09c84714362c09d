"""A scripted server that speaks OpenAI's API, and its client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tasks.openai.client import OpenAIClient
from tests.support.openai.scripted import ScriptedOpenAI, scripted_openai
from tests.support.waiting import PATIENCE


@pytest.fixture(scope="module")
def running_openai() -> Iterator[ScriptedOpenAI]:
    with scripted_openai() as server:
        yield server


@pytest.fixture
def openai(running_openai: ScriptedOpenAI) -> ScriptedOpenAI:
    """A server with nothing scripted yet."""
    running_openai.reset()
    return running_openai


@pytest.fixture
async def client(openai: ScriptedOpenAI) -> AsyncIterator[OpenAIClient]:
    async with OpenAIClient(openai.url, timeout=PATIENCE) as client:
        yield client
