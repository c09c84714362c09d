"""How long an answer may take, over both APIs, from real servers that stall, drip, or say nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest

from tasks.core.errors import NoResponseError
from tasks.inference.client import InferenceClient
from tasks.inference.limits import AnswerLimits, limited
from tasks.inference.schema import Answer, GenerateRequest
from tasks.ollama.client import OllamaClient
from tasks.openai.client import OpenAIClient
from tests.support.clock import Clock
from tests.support.ollama.scripted import Say, ScriptedOllama, piece, scripted_ollama
from tests.support.openai.scripted import CHAT, delta, scripted_openai
from tests.support.waiting import PATIENCE

REQUEST = GenerateRequest("reader", 4096, 4096, 60)
SHORT = 0.3


@dataclass
class Wire:
    """A scripted server, and how to ask it and to answer over its API."""

    server: ScriptedOllama
    client: Callable[[str], InferenceClient]
    path: str
    text: Callable[[str], bytes]
    end: bytes
    beat: bytes

    async def ask(self, sent: Callable[[], AsyncIterator[bytes]], limits: AnswerLimits) -> Answer:
        self.server.answers(self.path, Say(b"", chunks=sent))
        async with self.client(self.server.url) as client:
            return await client.generate(REQUEST, "Read.", limits=limits)


@pytest.fixture(scope="module", params=["ollama", "openai"])
def wire(request: pytest.FixtureRequest):
    if request.param == "ollama":
        with scripted_ollama() as server:
            end = piece("", done=True, done_reason="stop")
            yield Wire(server, OllamaClient, "/api/generate", piece, end, b"\n")
    else:
        with scripted_openai() as server:
            yield Wire(server, OpenAIClient, CHAT, delta, delta("", "stop"), b": ping\n\n")


async def test_a_server_that_never_sends_a_byte_is_given_up_after_the_time_for_a_first_token(wire: Wire):
    async def nothing() -> AsyncIterator[bytes]:
        await asyncio.sleep(10 * PATIENCE)
        yield b""

    with pytest.raises(NoResponseError, match=r"did not begin to answer within 0\.3 s"):
        await wire.ask(nothing, AnswerLimits(SHORT, PATIENCE, PATIENCE))


async def test_a_server_that_stalls_in_the_middle_is_given_up_after_the_silence(wire: Wire):
    async def stalls() -> AsyncIterator[bytes]:
        yield wire.text("Hello")
        await asyncio.sleep(10 * PATIENCE)

    with pytest.raises(NoResponseError, match=r"sent nothing more of an answer for 0\.3 s"):
        await wire.ask(stalls, AnswerLimits(PATIENCE, SHORT, PATIENCE))


async def test_what_only_keeps_the_connection_open_is_silence(wire: Wire):
    async def beats() -> AsyncIterator[bytes]:
        yield wire.text("Hello")
        while True:
            yield wire.beat
            await asyncio.sleep(SHORT / 10)

    with pytest.raises(NoResponseError, match="sent nothing more"):
        await wire.ask(beats, AnswerLimits(PATIENCE, SHORT, PATIENCE))


async def test_a_slow_stream_may_take_longer_than_the_wait_for_its_first_token(monkeypatch: pytest.MonkeyPatch):
    clock, first = Clock(), 2.0
    monkeypatch.setattr(asyncio.get_running_loop(), "time", clock.monotonic)
    async with limited("http://it", AnswerLimits(first, PATIENCE, 100 * PATIENCE)) as heard:
        for _ in range(10):
            heard()
            clock.advance(first)
            await asyncio.sleep(0)  # timers that are due run


async def test_an_endless_stream_ends_with_the_time_for_the_whole(wire: Wire):
    async def endless() -> AsyncIterator[bytes]:
        number = 0
        while True:
            yield wire.text(f"word{number} ")
            number += 1
            await asyncio.sleep(SHORT / 10)

    with pytest.raises(NoResponseError, match=r"did not finish an answer within 0\.6 s"):
        await wire.ask(endless, AnswerLimits(PATIENCE, PATIENCE, 2 * SHORT))


async def test_the_time_to_the_first_token_is_measured(wire: Wire):
    async def late() -> AsyncIterator[bytes]:
        yield wire.beat
        await asyncio.sleep(SHORT)
        yield wire.text("Hello")
        yield wire.end

    answer = await wire.ask(late, AnswerLimits.within(PATIENCE))
    assert answer.first_seconds is not None
    assert answer.first_seconds >= SHORT
