"""OpenAI's API as a real llama-server speaks it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from tasks.core.errors import NotOfferedError, PageError, ServerError, TransientError
from tasks.inference.schema import Answer, GenerateRequest
from tasks.openai.client import OpenAIClient
from tasks.serving.probe_image import probe_image
from tests.support.llama_server import LlamaServer, llama_server
from tests.support.waiting import until

SLOTS = 2
REQUEST = GenerateRequest("chain", 4096, 12, 60)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaServer]:
    with llama_server(tmp_path_factory.mktemp("llama") / "log", slots=SLOTS) as running:
        yield running


async def read(server: LlamaServer, request: GenerateRequest = REQUEST, prompt: str = "Transcribe.") -> Answer:
    async with OpenAIClient(server.url) as client:
        return await client.generate(request, prompt, (probe_image(),))


def test_a_page_is_read_with_its_counts_and_durations(server: LlamaServer):
    answer = asyncio.run(read(server))
    words = "the0 quick1 brown2 fox3 jumps4 over5 a6 lazy7 dog8 while9 rain10 falls11"
    assert answer.response.split() == words.split()
    assert (answer.done, answer.done_reason, answer.eval_count) == (True, "length", 12)
    assert answer.prompt_eval_count > 50  # the picture's
    assert answer.timing.eval > 0


def test_an_image_can_be_sent_without_a_word(server: LlamaServer):
    assert asyncio.run(read(server, prompt="")).response.startswith(" the0")


def test_the_model_is_listed_with_its_context_and_what_it_can_do(server: LlamaServer):
    async def ask():
        async with OpenAIClient(server.url) as client:
            return await client.models(), await client.details("chain"), await client.slots(), await client.version()

    models, details, slots, version = asyncio.run(ask())
    assert [model.name for model in models] == ["chain"]
    assert len(models[0].digest) == 64
    assert (details.context_length, details.capabilities) == (4096, ("completion", "vision"))
    assert (slots, version) == (SLOTS, "llama-server")


def test_an_address_may_end_in_v1(server: LlamaServer):
    async def ask():
        async with OpenAIClient(f"{server.url}/v1") as client:
            await client.load(REQUEST)
            return await client.slots()

    assert asyncio.run(ask()) == SLOTS


def test_a_page_that_does_not_fit_is_refused_with_the_figures(server: LlamaServer):
    with pytest.raises(PageError, match=r"takes \d+ tokens.*has 4096") as raised:
        asyncio.run(read(server, prompt="word " * 9000))
    assert raised.value.final


def test_a_model_that_is_not_offered_is_named_with_those_that_are(server: LlamaServer):
    async def ask():
        async with OpenAIClient(server.url) as client:
            async for _ in client.pull("qwen2.5vl:7b"):
                pass

    with pytest.raises(NotOfferedError, match="Choose one of its own with --model: chain"):
        asyncio.run(ask())


def test_a_text_that_got_into_a_loop_is_ended(tmp_path: Path):
    with llama_server(tmp_path / "log", model="repeating:latest", slots=1) as running:
        answer = asyncio.run(read(running, replace(REQUEST, model="repeating", num_predict=3000)))
    assert not answer.done
    assert answer.eval_count < 2000


def test_a_wrong_token_is_named(tmp_path: Path):
    async def ask(url: str, token: str) -> Answer:
        async with OpenAIClient(url, headers={"Authorization": f"Bearer {token}"}) as client:
            return await client.generate(REQUEST, "", (probe_image(),))

    with llama_server(tmp_path / "log", key="secret") as running:
        assert asyncio.run(ask(running.url, "secret")).done
        with pytest.raises(ServerError, match="token is not the server's"):
            asyncio.run(ask(running.url, "wrong"))


def test_a_server_that_is_killed_in_the_middle_of_an_answer_is_asked_again(tmp_path: Path):
    async def ask(server: LlamaServer) -> None:
        async with OpenAIClient(server.url) as client:
            request = replace(REQUEST, model="slow", num_predict=3000)
            asked = asyncio.create_task(client.generate(request, "", (probe_image(),)))
            await asyncio.to_thread(_until_busy, server)
            server.kill()
            await asked

    with (
        llama_server(tmp_path / "log", model="slow:latest") as running,
        pytest.raises(TransientError),
    ):
        asyncio.run(ask(running))


def _until_busy(server: LlamaServer) -> None:
    until(lambda: any(slot["is_processing"] for slot in httpx.get(f"{server.url}/slots", trust_env=False).json()))
