"""Errors of servers that speak OpenAI's API: each becomes one typed sentence, over real connections."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tasks.core.errors import (
    HearthError,
    PageError,
    ServerError,
    ServerFaultError,
    TransientError,
)
from tasks.openai.client import OpenAIClient
from tests.support.ollama.scripted import Say, fails, streams
from tests.support.openai.scripted import (
    CHAT,
    END,
    ScriptedOpenAI,
    delta,
    event,
    read,
)


async def one_sentence(client: OpenAIClient) -> HearthError:
    with pytest.raises(HearthError) as raised:
        await read(client)
    message = str(raised.value)
    assert "\n" not in message
    assert not set("{}[]") & set(message)
    return raised.value


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        ({"error": {"message": "KV cache is full", "code": 503}}, TransientError, "cannot answer just now: KV cache"),
        ({"error": {"message": "Rate limit", "type": "requests", "code": "429"}}, TransientError, "Rate limit"),
        ({"error": {"message": "CUDA error", "type": "InternalServerError"}}, ServerFaultError, "CUDA error"),
        ({"error": "out of memory"}, ServerFaultError, "out of memory"),
        ({"error": [{"message": "first"}, {"msg": "second"}]}, ServerFaultError, "first; second"),
        ({"object": "error", "message": "is not valid", "code": 400}, PageError, "is not valid"),
        ({"error": {"code": 400, "message": "This model's maximum context length is 10 tokens"}}, PageError, "fit"),
    ],
)
async def test_an_error_in_the_middle_of_a_stream_is_what_it_says(
    openai: ScriptedOpenAI, client: OpenAIClient, error: dict[str, Any], kind: type[HearthError], words: str
):
    openai.answers(CHAT, streams(delta("Hello"), b"event: error\n", event(error), END))
    raised = await one_sentence(client)
    assert type(raised) is kind
    assert words in str(raised)


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (200, b'{"error": {"message": "engine died"}}', ServerFaultError, "engine died"),
        (404, b"<html><h1>Not Found</h1></html>", ServerError, "no API of OpenAI's"),
        (502, b"<html>Bad Gateway</html>", TransientError, "HTTP 502"),
        (500, b'{"error": "a text"}', ServerFaultError, "a text"),
        (400, b'[{"error": {"code": 400, "message": "API key not valid"}}]', PageError, "API key not valid"),
        (422, b'{"detail": [{"loc": ["body"], "msg": "Field required"}]}', PageError, "Field required"),
        (413, b"", PageError, "HTTP 413"),
        (503, b'{"error": {"code": 503, "message": "Loading model"}}', TransientError, "Loading model"),
    ],
)
async def test_an_error_is_one_sentence(
    openai: ScriptedOpenAI, client: OpenAIClient, status: int, body: bytes, kind: type[HearthError], words: str
):
    openai.answers(CHAT, Say(body, status))
    raised = await one_sentence(client)
    assert type(raised) is kind
    assert words in str(raised)


async def test_a_gateway_that_asks_for_a_pause_is_heard(openai: ScriptedOpenAI, client: OpenAIClient):
    openai.answers(CHAT, replace(fails(429, "Too many requests"), headers={"Retry-After": "7"}))
    with pytest.raises(TransientError) as raised:
        await read(client)
    assert raised.value.retry_after == 7


async def test_no_redirect_is_followed(openai: ScriptedOpenAI, client: OpenAIClient):
    openai.answers(CHAT, Say(b"", 307, headers={"Location": "http://elsewhere/v1/chat/completions"}))
    with pytest.raises(ServerError, match="redirects to http://elsewhere"):
        await read(client)
