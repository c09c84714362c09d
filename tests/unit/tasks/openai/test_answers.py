"""Answers of servers that speak OpenAI's API, sound and broken, over real connections."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.core.errors import (
    FailureReason,
    PageError,
    TransientError,
)
from tasks.openai.answer import AnswerBuilder
from tasks.openai.client import OpenAIClient
from tasks.openai.schema import Piece
from tests.support.ollama.scripted import Say, streams
from tests.support.openai.scripted import (
    CHAT,
    END,
    REQUEST,
    ScriptedOpenAI,
    chat,
    delta,
    event,
    read,
)

USAGE = {"prompt_tokens": 300, "completion_tokens": 2, "total_tokens": 302}


async def test_text_and_counts_are_put_together(openai: ScriptedOpenAI, client: OpenAIClient):
    openai.answers(CHAT, streams(delta("Hello, "), delta("world."), delta("", "stop"), event({"usage": USAGE}), END))
    answer = await read(client)
    assert (answer.response, answer.done_reason) == ("Hello, world.", "stop")
    assert (answer.prompt_eval_count, answer.eval_count) == (300, 2)


BODY = delta("Größe ") + delta("№ 1") + delta("", "stop", usage=USAGE) + END
RAW = BODY.decode("unicode_escape").encode()
"""The same with its characters as they are."""


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=20)
@given(places=st.lists(st.integers(0, len(RAW)), max_size=12))
async def test_a_body_may_be_cut_anywhere_even_within_a_character(
    openai: ScriptedOpenAI, client: OpenAIClient, places: list[int]
):
    cuts = [0, *sorted(places), len(RAW)]
    openai.answers(CHAT, streams(*(RAW[start:end] for start, end in itertools.pairwise(cuts))))
    assert (await read(client)).response == "Größe № 1"


SOUND: dict[str, tuple[bytes, ...]] = {
    "CRLF": ((delta("Hello.") + delta("", "stop") + END).replace(b"\n", b"\r\n"),),
    "comments": (b":\n\n: ping\n\n", delta("Hello."), b": ping\n\n", delta("", "stop"), END),
    "without the mark of the end": (delta("Hello."), delta("", "stop")),
    "without a finish_reason": (delta("Hello."), END),
    "usage null in each event": (delta("Hello.", usage=None), delta("", "stop", usage=None), END),
    "usage of another kind": (delta("Hello.", usage=[]), delta("", "stop", usage="none"), END),
    "usage with empty choices": (delta("Hello."), delta("", "stop"), event({"choices": [], "usage": USAGE}), END),
    "a first event without text": (delta(None), delta("Hello."), delta(None, "stop"), END),
    "a text in parts": (event({"choices": [{"delta": {"content": [{"type": "text", "text": "Hello."}]}}]}), END),
    "reason and text in one event": (delta("Hello.", "stop"),),
    "no stream": (json.dumps({"choices": [{"message": {"content": "Hello."}, "finish_reason": "stop"}]}).encode(),),
    "timings of another kind": (delta("Hello.", timings={"prompt_ms": "fast", "predicted_ms": None}), END),
    "an event of nothing": (event({}), delta("Hello.", "stop")),
}


@pytest.mark.parametrize("chunks", SOUND.values(), ids=SOUND)
async def test_a_sound_answer_is_read_however_it_is_sent(
    openai: ScriptedOpenAI, client: OpenAIClient, chunks: tuple[bytes, ...]
):
    openai.answers(CHAT, streams(*chunks))
    answer = await read(client)
    assert (answer.response, answer.done, answer.done_reason) == ("Hello.", True, "stop")


@pytest.mark.parametrize("reason", ["length", "max_tokens"])
async def test_an_answer_that_reached_its_limit_is_cut(openai: ScriptedOpenAI, client: OpenAIClient, reason: str):
    openai.answers(CHAT, chat("Hello", finish=reason))
    assert (await read(client)).done_reason == "length"


async def test_without_a_reason_an_answer_of_all_its_tokens_is_cut(openai: ScriptedOpenAI, client: OpenAIClient):
    usage = event({"choices": [], "usage": USAGE | {"completion_tokens": REQUEST.num_predict}})
    openai.answers(CHAT, streams(delta("Hello"), usage, END))
    assert (await read(client)).done_reason == "length"


async def test_an_answer_that_is_complete_stands_if_the_connection_breaks_after_it(
    openai: ScriptedOpenAI, client: OpenAIClient
):
    openai.answers(CHAT, Say(delta("Hello.", "stop"), cut=True))
    assert (await read(client)).response == "Hello."


async def test_a_loop_is_ended_before_the_server_ends_it(openai: ScriptedOpenAI, client: OpenAIClient):
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield delta("the same words again and ")
            await asyncio.sleep(0.001)

    openai.answers(CHAT, Say(b"", chunks=endless))
    answer = await read(client, replace(REQUEST, num_predict=4096))
    assert not answer.done
    assert answer.response.startswith("the same words again and the same words")


BROKEN: dict[str, Say] = {
    "cut in the middle": Say(delta("Hello"), cut=True),
    "ended in the middle": streams(delta("Hello")),
    "aborted": chat("Hello", finish="abort"),
    "ended by an error of the engine": chat("Hello", finish="error"),
    "an end and no text": streams(END),
    "nothing": Say(b""),
    "a web page": Say(b"<!doctype html><title>Welcome</title>", headers={"Content-Type": "text/html"}),
    "a list": Say(b"[1, 2]"),
    "half an event": streams(b'data: {"choices": [{"del'),
    "text that is no JSON": streams(b"data: hello\n\n"),
    "nested without end": streams(b"data: " + b"[" * 100_000 + b"\n\n"),
    "compressed and cut": Say(gzip.compress(delta("Hello"))[:-9], headers={"Content-Encoding": "gzip"}),
}


@pytest.mark.parametrize("say", BROKEN.values(), ids=BROKEN)
async def test_a_broken_answer_is_a_transient_error(openai: ScriptedOpenAI, client: OpenAIClient, say: Say):
    openai.answers(CHAT, say)
    with pytest.raises(TransientError, match=openai.url):
        await read(client)


async def test_a_compressed_answer_is_read_though_none_was_asked_for(openai: ScriptedOpenAI, client: OpenAIClient):
    openai.answers(CHAT, Say(gzip.compress(BODY), headers={"Content-Encoding": "gzip"}))
    assert (await read(client)).response == "Größe № 1"
    assert openai.headers[-1]["accept-encoding"] == "identity"


@pytest.mark.parametrize("compressed", [False, True])
async def test_an_answer_without_end_is_refused(openai: ScriptedOpenAI, client: OpenAIClient, compressed: bool):
    text = b"data: " + b"x" * 2_000_000
    headers = {"Content-Encoding": "gzip"} if compressed else {}
    openai.answers(CHAT, Say(gzip.compress(text) if compressed else text, headers=headers))
    with pytest.raises(PageError, match="longer than 1 MB"):
        await read(client)


async def test_a_page_that_the_filter_declines_is_not_read_in_silence(openai: ScriptedOpenAI, client: OpenAIClient):
    openai.answers(CHAT, chat("I cannot", finish="content_filter"))
    with pytest.raises(PageError) as raised:
        await read(client)
    assert raised.value.reason is FailureReason.DECLINED


@pytest.mark.parametrize("reason", ["tool_calls", "function_call"])
async def test_a_call_of_a_tool_is_no_answer(openai: ScriptedOpenAI, client: OpenAIClient, reason: str):
    openai.answers(CHAT, chat("Let me look.", finish=reason))
    with pytest.raises(PageError, match="called a tool") as raised:
        await read(client)
    assert not raised.value.final


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["delta", "content"]), inner),
    max_leaves=5,
)
FIELDS = ("choices", "usage", "timings", "prompt_ms", "predicted_ms", "delta", "message", "content", "finish_reason")


fields = st.dictionaries(st.sampled_from(FIELDS), json_values)


@given(st.lists(st.dictionaries(st.sampled_from(FIELDS), json_values | fields)))
def test_whatever_an_event_holds_it_makes_an_answer_or_none(values: list[dict[str, Any]]):
    builder = AnswerBuilder(100)
    for value in values:
        builder.add(Piece.model_validate(value))
        builder.add(Piece.model_validate({"choices": [value]}))
    with suppress(PageError):
        builder.answer()
