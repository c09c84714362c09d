"""vLLM, SGLang and LM Studio, by answers of theirs that people have posted."""

from __future__ import annotations

import pytest

from tasks.core.errors import HearthError, ModelError, PageError
from tasks.inference.api import Api
from tasks.inference.schema import GenerateRequest
from tasks.openai.client import OpenAIClient
from tasks.openai.errors import classify
from tasks.serving.clients import new_client
from tests.support.openai import recorded
from tests.support.openai.recorded import Recorded
from tests.support.openai.scripted import CHAT, MODELS, ScriptedOpenAI
from tests.support.waiting import PATIENCE

each_server = pytest.mark.parametrize("server", recorded.SERVERS, ids=lambda server: server.kind)


@each_server
async def test_its_api_and_kind_are_found_out_and_a_page_is_read(openai: ScriptedOpenAI, server: Recorded):
    server.replay(openai)
    request = GenerateRequest(server.model, 4096, 100, 60, sampling=(("top_p", 0.9), ("repeat_penalty", 1.1)))
    async with new_client(Api.AUTO, openai.url, timeout=PATIENCE) as client:
        assert await client.version() == server.kind
        assert [model.name for model in await client.models()] == [server.model]
        assert await client.slots() == 0
        answer = await client.generate(request, "Read.", (b"PNG",))
    assert (answer.response, answer.done, answer.done_reason) == (server.text, True, "stop")
    assert answer.eval_count == server.tokens


@each_server
async def test_it_is_sent_no_option_that_it_does_not_know(openai: ScriptedOpenAI, server: Recorded):
    server.replay(openai)
    sampling = (("top_p", 0.9), ("repeat_penalty", 1.1), ("top_k", 20.0))
    async with OpenAIClient(openai.url, timeout=PATIENCE) as client:
        await client.generate(GenerateRequest(server.model, 4096, 100, 60, sampling=sampling, logprobs=True), "Read.")
    (body,) = openai.asked(CHAT)
    penalty = "repeat_penalty" if server is recorded.LM_STUDIO else "repetition_penalty"
    assert (body["top_p"], body[penalty], body["top_k"]) == (0.9, 1.1, 20)
    assert ("logprobs" in body) == ("chat_template_kwargs" in body) == (server is not recorded.LM_STUDIO)


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("SGLang, too long", PageError, "does not fit into the model's context"),
        ("vLLM, too long", PageError, "does not fit into the model's context"),
        ("LM Studio, several models", ModelError, 'Model "default" not found'),
        ("LM Studio, none loaded", ModelError, "No models loaded"),
    ],
)
def test_what_it_refuses_is_named_for_what_to_do(name: str, kind: type[HearthError], words: str):
    say = recorded.answer(name)
    found = classify("http://server", say.status, say.content.decode(), authorized=False)
    assert type(found) is kind
    assert words in str(found)
    assert "\n" not in str(found)


async def test_lm_studio_is_not_taken_for_ollama_though_it_answers_200_to_every_path(openai: ScriptedOpenAI):
    recorded.LM_STUDIO.replay(openai)
    async with new_client(Api.AUTO, openai.url, timeout=PATIENCE) as client:
        await client.models()
    assert [path for path, _ in openai.calls] == ["/api/version", MODELS, MODELS]
