"""Addresses, models and tokens of servers that speak OpenAI's API, over real connections."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tasks.core.errors import (
    ModelError,
    NotOfferedError,
    ServerError,
    TransientError,
)
from tasks.openai.client import OpenAIClient
from tests.support.ollama.scripted import Say, says
from tests.support.openai.scripted import (
    CHAT,
    MODEL,
    MODELS,
    REQUEST,
    ScriptedOpenAI,
    chat,
    models,
    read,
)


@pytest.mark.parametrize("end", ["", "/", "/v1", "/v1/"])
async def test_an_address_may_name_the_version_or_not(openai: ScriptedOpenAI, end: str):
    async with OpenAIClient(f"{openai.url}{end}") as client:
        assert (await read(client)).response == "Hello."
        assert [model.name for model in await client.models()] == [MODEL]
    assert {path for path, _ in openai.calls} == {CHAT, MODELS}


async def test_a_gateway_may_have_a_path_of_its_own(openai: ScriptedOpenAI):
    openai.answers("/team/v1/models", models("org/reader"))
    openai.answers("/team/v1/chat/completions", chat("Hello."))
    async with OpenAIClient(f"{openai.url}/team") as client:
        assert (await read(client, replace(REQUEST, model="org/reader"))).done


@pytest.mark.parametrize("asked", ["Org/Reader-7B", "org/reader-7b", "org/reader-7b:latest"])
async def test_a_model_is_asked_for_by_the_name_that_is_listed(
    openai: ScriptedOpenAI, client: OpenAIClient, asked: str
):
    openai.answers(MODELS, models("other", "Org/Reader-7B", max_model_len=4096))
    await read(client, replace(REQUEST, model=asked))
    await client.load(replace(REQUEST, model=asked))
    assert {body["model"] for body in openai.asked(CHAT)} == {"Org/Reader-7B"}
    assert (await client.details(asked)).context_length == 4096


async def test_a_model_that_is_not_listed_is_named(openai: ScriptedOpenAI, client: OpenAIClient):
    with pytest.raises(ModelError, match="does not list it"):
        await client.details("another")


async def test_of_a_thousand_models_the_most_similar_are_named(openai: ScriptedOpenAI, client: OpenAIClient):
    openai.answers(MODELS, models(*(f"org/model-{number}" for number in range(1000)), "qwen/qwen2.5-vl-7b"))
    with pytest.raises(NotOfferedError) as raised:
        [step async for step in client.pull("qwen2.5vl:7b")]
    assert "--model: qwen/qwen2.5-vl-7b" in str(raised.value)
    assert str(raised.value).endswith(", and 991 more.")
    assert len(str(raised.value)) < 500


@pytest.mark.parametrize(
    "say",
    [
        Say(b"404 page not found", 404),
        Say(b'{"detail": "Not Found"}', 404),
        says(error="Unexpected endpoint or method. (GET /v1/models)"),
    ],
    ids=["text", "FastAPI", "LM Studio"],
)
async def test_a_server_without_a_list_of_models_does_not_speak_the_api(
    openai: ScriptedOpenAI, client: OpenAIClient, say: Say
):
    openai.answers(MODELS, say)
    with pytest.raises(ServerError, match=r"no API of OpenAI's at http.*Correct HEARTH_URL"):
        await client.models()


async def test_a_server_that_loads_its_model_is_waited_for(openai: ScriptedOpenAI, client: OpenAIClient):
    loading = replace(says(error={"code": 503, "message": "Loading model"}), status=503)
    openai.answers("/health", loading, Say(b""))
    with pytest.raises(TransientError, match="Loading model"):
        await client.version()
    assert await client.version() == "OpenAI's API"


@pytest.mark.parametrize("authorized", [False, True])
@pytest.mark.parametrize("status", [401, 403])
async def test_a_gateway_that_refuses_the_token_is_named(openai: ScriptedOpenAI, status: int, authorized: bool):
    openai.answers(MODELS, replace(says(error={"message": "Invalid API key"}), status=status))
    headers = {"Authorization": "Bearer sk-hidden"} if authorized else {}
    async with OpenAIClient(openai.url, headers=headers) as client:
        with pytest.raises(ServerError, match="refuses access") as raised:
            await client.models()
    assert ("token is not the server's" if authorized else "HEARTH_URL_TOKEN") in str(raised.value)
    assert "sk-hidden" not in str(raised.value)
