"""Which API a server of somebody else's speaks is found out by asking it."""

from __future__ import annotations

import pytest

from tasks.core.errors import HearthError, ServerError, TransientError
from tasks.inference.api import Api
from tasks.serving.clients import new_client
from tests.support.ollama.scripted import Say, ScriptedOllama, fails, says
from tests.support.ollama.wire import MODEL
from tests.support.waiting import PATIENCE

LISTED = says(object="list", data=[{"id": "vlm", "object": "model", "owned_by": "vllm", "max_model_len": 4096}])
NO_PATH = Say(b'{"error":{"message":"File Not Found","type":"not_found_error","code":404}}', 404)


async def names(url: str, api: Api = Api.AUTO) -> list[str]:
    async with new_client(api, url, timeout=PATIENCE) as client:
        return [model.name for model in await client.models()]


async def test_a_server_that_answers_ollamas_version_is_an_ollama(server: ScriptedOllama):
    assert await names(server.url) == [MODEL]
    assert "/v1/models" not in [path for path, _ in server.calls]


@pytest.mark.parametrize(
    "answer",
    [
        NO_PATH,
        Say(b'{"detail":"Not Found"}', 404),
        Say(b"not found", 404),
        says(error="Unexpected endpoint or method. (GET /api/version)"),
        fails(401, "no"),
        Say(b"<!doctype html>", headers={"Content-Type": "text/html"}),
    ],
    ids=["llama-server", "vLLM", "nginx", "LM Studio, under 200", "a gateway", "a gateway with a web page"],
)
async def test_a_server_without_it_that_lists_models_speaks_openais_api(server: ScriptedOllama, answer: Say):
    server.answers("/api/version", answer)
    server.answers("/v1/models", LISTED)
    async with new_client(Api.AUTO, server.url, timeout=PATIENCE) as client:
        assert [model.name for model in await client.models()] == ["vlm"]
        assert not client.downloads


async def test_an_api_that_is_named_is_asked_nothing_else(server: ScriptedOllama):
    server.answers("/v1/models", LISTED)
    assert await names(server.url, Api.OPENAI) == ["vlm"]
    assert {path for path, _ in server.calls} == {"/v1/models"}


async def test_a_server_that_speaks_neither_is_named(server: ScriptedOllama):
    server.answers("/api/version", Say(b"<html>", 404))
    server.answers("/v1/models", Say(b"<html>", 404))
    with pytest.raises(ServerError, match="neither Ollama's API"):
        await names(server.url)


async def test_a_server_that_refuses_access_to_both_says_so(server: ScriptedOllama):
    server.answers("/api/version", fails(401, "no"))
    server.answers("/v1/models", fails(401, "no"))
    with pytest.raises(ServerError, match="refuses access"):
        await names(server.url)


@pytest.mark.parametrize("status", [502, 503])
async def test_a_server_that_is_not_up_yet_is_asked_again_later(server: ScriptedOllama, status: int):
    server.answers("/api/version", fails(status, "starting"), says(version="0.33.0"))
    async with new_client(Api.AUTO, server.url, timeout=PATIENCE) as client:
        with pytest.raises(TransientError):
            await client.version()
        assert await client.version() == "0.33.0"


async def test_a_server_out_of_reach_is_neither(server: ScriptedOllama):
    with pytest.raises(HearthError):
        await names("http://127.0.0.1:9")
