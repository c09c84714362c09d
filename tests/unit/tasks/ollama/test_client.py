"""Requests to Ollama and its responses."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.errors import TransientError
from tasks.inference.schema import GenerateRequest, LoadedModel, Model, ModelDetails, PullProgress, Timing
from tasks.ollama.client import OllamaClient
from tasks.ollama.schema import load_body, page_body
from tests.support.ollama.scripted import lines, reads, says
from tests.support.ollama.wire import DIGEST, MODEL
from tests.unit.tasks.ollama.page_request import IMAGE, PROMPT, REQUEST, generate

# Each call


async def test_the_version_is_the_sign_of_life(client):
    assert await client.version() == "0.33.0"


async def test_the_models_on_disk_are_listed(client):
    (model,) = await client.models()
    assert (model.name, model.digest, model.size, model.details.family) == (MODEL, DIGEST, 6_000_000_000, "qwen25vl")


async def test_the_models_in_memory_are_listed_with_their_place(client):
    (model,) = await client.loaded()
    assert (model.name, model.size, model.size_vram) == (MODEL, 6_000_000_000, 6_000_000_000)
    assert model.context_length == 8192


async def test_the_details_contain_the_family(server, client):
    details = await client.details(MODEL)
    assert (details.family, details.parameter_size, details.quantization_level) == ("qwen25vl", "8.3B", "Q4_K_M")
    assert (details.capabilities, details.context_length) == (("completion", "vision"), 128_000)
    assert server.asked("/api/show") == [{"model": MODEL}]


async def test_a_pull_is_followed_step_by_step(server, client):
    server.answers(
        "/api/pull",
        lines(
            {"status": "pulling manifest"},
            {"status": "pulling a1", "digest": "sha256:a1", "total": 100, "completed": 40},
            {"status": "success"},
        ),
    )
    assert [step async for step in client.pull(MODEL)] == [
        PullProgress(status="pulling manifest"),
        PullProgress(status="pulling a1", digest="sha256:a1", total=100, completed=40),
        PullProgress(status="success"),
    ]
    assert server.asked("/api/pull") == [{"model": MODEL, "stream": True}]


async def test_a_page_is_sent_with_its_prompt_image_and_temperature(server, client):
    await client.generate(REQUEST, PROMPT, (IMAGE,), temperature=0.4)
    (body,) = server.asked("/api/generate")
    assert body == {
        "model": MODEL,
        "prompt": PROMPT,
        "images": [base64.b64encode(IMAGE).decode()],
        "stream": True,
        "shift": False,
        "keep_alive": "600s",
        "options": {"num_ctx": 8192, "num_predict": 4096, "temperature": 0.4},
    }


async def test_an_answer_has_its_text_tokens_and_seconds(client):
    answer = await generate(client)
    assert (answer.response, answer.done_reason) == ("Hello.", "stop")
    assert (answer.prompt_eval_count, answer.eval_count) == (300, 20)
    assert answer.timing == Timing(total=1.0, load=0.1, prompt_eval=0.3, eval=0.5)
    assert answer.timing.queue == pytest.approx(0.1)


async def test_loading_sends_no_prompt_or_image(server, client):
    await client.load(REQUEST)
    (body,) = server.asked("/api/generate")
    assert (body["prompt"], body["images"]) == ("", [])


@given(st.integers(256, 200_000), st.integers(1, 200_000), st.floats(0, 1))
def test_loading_and_reading_differ_in_nothing_that_reloads_the_model(num_ctx, num_predict, temperature):
    """A change of num_ctx or shift between the warm-up and a page would load the model a second time."""
    request = GenerateRequest(MODEL, num_ctx, num_predict, 600)
    load, page = load_body(request), page_body(request, PROMPT, (IMAGE,), temperature)
    for body in (load, page):
        del body["prompt"], body["images"], body["options"]["temperature"]
    assert load == page
    assert load["options"]["num_ctx"] == num_ctx


@given(st.floats(0.001, 1e6))
def test_the_model_stays_loaded_at_least_as_long_as_requested(keep_alive):
    """Rounded down to 0s, it would be unloaded after each page."""
    sent = load_body(GenerateRequest(MODEL, 8192, 4096, keep_alive))["keep_alive"]
    assert keep_alive <= int(sent.removesuffix("s")) < keep_alive + 1


async def test_the_headers_of_the_endpoint_go_with_each_request(server):
    async with OllamaClient(server.url, headers={"Authorization": "Bearer token"}) as client:
        await client.version()
        await generate(client)
    assert [headers["authorization"] for headers in server.headers] == ["Bearer token"] * 2


# What may be absent


@pytest.mark.parametrize("missing", ["done_reason", "eval_count", "prompt_eval_count", "total_duration", "model"])
async def test_an_answer_may_lack_optional_fields(server, client, missing):
    whole = json.loads(reads().content)
    server.answers("/api/generate", says(**{name: whole[name] for name in whole if name != missing}))
    assert (await generate(client)).response == "Hello."


async def test_absent_durations_count_as_zero(server, client):
    server.answers("/api/generate", says(response="Hello.", done=True))
    answer = await generate(client)
    assert answer.timing == Timing()
    assert answer.timing.queue == 0


async def test_models_may_lack_optional_fields(server, client):
    server.answers("/api/tags", says(models=[{"name": MODEL, "digest": DIGEST}]))
    server.answers("/api/ps", says(models=[{"name": MODEL}]))
    server.answers("/api/show", says())
    assert await client.models() == (Model(name=MODEL, digest=DIGEST),)
    assert await client.loaded() == (LoadedModel(name=MODEL),)
    assert await client.details(MODEL) == ModelDetails()


@pytest.mark.parametrize("missing", ["response", "done"])
async def test_a_missing_required_field_is_named_in_a_transient_error(server, client, missing):
    whole = json.loads(reads().content)
    server.answers("/api/generate", says(**{name: whole[name] for name in whole if name != missing}))
    with pytest.raises(TransientError, match=missing):
        await generate(client)
