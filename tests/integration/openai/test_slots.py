"""The slots of a real llama-server, as Hearth reads or measures them, over both APIs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tasks.inference.api import Api
from tasks.inference.schema import GenerateRequest
from tasks.ollama.address import free_port
from tasks.serving.clients import new_client
from tasks.serving.parallelism import measure_parallelism
from tests.support.llama_server import llama_server
from tests.support.ollama.stand_in.program import Program
from tests.support.openai.gateway import gateway
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.long("starts an engine for each number of slots")


def measured(api: Api, url: str, model: str) -> int:
    async def measure() -> int:
        async with new_client(api, url, timeout=PATIENCE) as client:
            request = GenerateRequest(model, 2048, 12, 60)
            await client.load(request)
            return (await measure_parallelism(client, request, 8)).slots

    return asyncio.run(measure())


@pytest.mark.parametrize("slots", [1, 2, 4, 8])
def test_over_openais_api_the_server_tells_them(tmp_path: Path, slots: int):
    with llama_server(tmp_path / "log", slots=slots, context=2048) as server:
        assert measured(Api.AUTO, server.url, server.model) == slots


def test_an_engine_of_one_slot_is_told_apart_behind_a_gateway_that_does_not_tell(tmp_path: Path):
    with (
        llama_server(tmp_path / "log", slots=1, context=2048) as server,
        gateway(server.url, hidden=("/props", "/slots", "/health", "/api/version")) as front,
    ):
        assert measured(Api.AUTO, front.url, server.model) == 1


def test_an_engine_of_one_slot_is_told_apart_over_ollamas_api(ollama_program: Program):
    host = f"127.0.0.1:{free_port()}"
    with ollama_program.serving(host, 1):
        assert measured(Api.AUTO, f"http://{host}", "chain") == 1
