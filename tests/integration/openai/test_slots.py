"""The slots of a real llama-server, as it tells them or its pages show them, over both APIs."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tasks.inference.api import Api
from tasks.inference.client import InferenceClient
from tasks.inference.schema import GenerateRequest
from tasks.ollama.address import free_port
from tasks.serving.clients import new_client
from tasks.serving.concurrency_tracker import ConcurrencyTracker
from tasks.serving.parallelism import first_number
from tasks.serving.probe_image import probe_image
from tasks.slots.ledger import Measured
from tests.support.llama_server import llama_server
from tests.support.ollama.stand_in.program import Program
from tests.support.openai.gateway import gateway
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.long("starts an engine for each number of slots")

REQUESTED = 8
PAGES = 40


def begun_with(api: Api, url: str, model: str, pages: int = 0) -> int:
    """Return how many of 8 requests a run sends at once: before its first page, or after some."""

    async def begin() -> int:
        async with new_client(api, url, timeout=PATIENCE) as client:
            request = GenerateRequest(model, 2048, 12, 60)
            await client.load(request)
            first = await first_number(client, model, REQUESTED, "", None)
            return await after(client, request, first, pages) if pages else first.slots

    return asyncio.run(begin())


async def after(client: InferenceClient, request: GenerateRequest, first: Measured, pages: int) -> int:
    """Read pages, as many at once as those before allow."""
    tracker, slots, reading = ConcurrencyTracker(first, REQUESTED), first.slots, set[asyncio.Task[None]]()

    async def read() -> None:
        nonlocal slots
        answer = await client.generate(request, "Transcribe.", (probe_image(),))
        slots = tracker.note(answer, time.time(), slots, alone=True, full=len(reading) >= slots) or slots

    for _ in range(pages):
        while len(reading) >= slots:
            _, reading = await asyncio.wait(reading, return_when=asyncio.FIRST_COMPLETED)
        reading.add(asyncio.create_task(read()))
    await asyncio.wait(reading)
    return slots


@pytest.mark.parametrize("slots", [1, 2, 4, 8])
def test_over_openais_api_the_server_tells_them(tmp_path: Path, slots: int):
    with llama_server(tmp_path / "log", slots=slots, context=2048) as server:
        assert begun_with(Api.AUTO, server.url, server.model) == slots


def test_pages_show_that_an_engine_has_one_slot_behind_a_gateway_that_does_not_tell(tmp_path: Path):
    with (
        llama_server(tmp_path / "log", slots=1, context=2048) as server,
        gateway(server.url, hidden=("/props", "/slots", "/health", "/api/version")) as front,
    ):
        assert begun_with(Api.AUTO, front.url, server.model) == REQUESTED
        # Another one may just be tried, and a busy machine takes its time for these short pages.
        assert begun_with(Api.AUTO, front.url, server.model, PAGES) <= REQUESTED // 2


def test_pages_show_that_an_engine_has_one_slot_over_ollamas_api(ollama_program: Program):
    host = f"127.0.0.1:{free_port()}"
    with ollama_program.serving(host, 1):
        assert begun_with(Api.AUTO, f"http://{host}", "chain", PAGES) <= REQUESTED // 2
