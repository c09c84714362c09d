"""Getting a model warm: loading it, and what ends the wait."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tasks.core.errors import ModelError, ServerError
from tasks.core.events import RunWarning
from tasks.inference.schema import GenerateRequest, ModelDetails
from tasks.ollama.schema import load_body
from tasks.serving.warmup import warm
from tasks.settings.reading import WarmSettings
from tasks.slots.store import FileStore
from tests.support.ollama.scripted import fails, reads, says
from tests.support.ollama.wire import DIGEST, MODEL
from tests.support.waiting import PATIENCE
from tests.unit.tasks.serving.warming import REQUEST, family, warmed


async def test_the_model_is_loaded_with_the_options_of_the_pages(server, client):
    await warmed(client, slots=2)
    assert server.asked("/api/generate") == [load_body(REQUEST)]


async def test_the_model_is_loaded_with_what_its_family_asks_for(server, client):
    """Another context than that of the pages would have it loaded twice."""
    server.answers("/api/show", family("glmocr"))
    seen = list[str]()

    def adapt(details: ModelDetails) -> GenerateRequest:
        seen.append(details.family)
        return replace(REQUEST, num_ctx=10240, think=False)

    warmth = await warmed(client, adapt=adapt)
    assert (set(seen), warmth.family, warmth.thinks) == ({"glmocr"}, "glmocr", True)
    asked = server.asked("/api/generate")
    assert {(body["options"]["num_ctx"], body["think"]) for body in asked} == {(10240, False)}


async def test_a_model_that_is_to_think_is_not_told_to_stop(server, client):
    server.answers("/api/show", says(details={"family": "qwen3vl"}, capabilities=["vision", "thinking"]))
    warmth = await warmed(client, adapt=lambda _: replace(REQUEST, think=True))
    assert not warmth.thinks
    assert all("think" not in body for body in server.asked("/api/generate"))


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("error loading model: unknown model architecture: 'mllama'", "OLLAMA_VERSION=0.24.0"),
        ("model requires more system memory (10.4 GiB) than is available (7.7 GiB)", "smaller model, --num-ctx"),
        ("this model is no longer compatible with your version of Ollama", "Choose another with --model"),
    ],
)
async def test_a_model_that_cannot_be_loaded_stops_at_once_with_a_remedy(server, client, text, remedy):
    server.answers("/api/generate", fails(500, text))
    with pytest.raises(ModelError) as caught:
        await warmed(client)
    assert MODEL in str(caught.value)
    assert text in str(caught.value)
    assert remedy in str(caught.value)
    assert len(server.asked("/api/generate")) == 1


async def test_a_load_that_fails_in_passing_is_tried_again(server, client):
    server.answers("/api/generate", fails(500, "cudaMalloc failed: out of memory"), reads("", done_reason="load"))
    assert (await warmed(client)).measured.slots == 1
    assert len(server.asked("/api/generate")) == 2


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ('tensor "output.weight" offset+size (4222976) exceeds file size (3000000)', "pull it again"),
        ("llama-server process has terminated: GGML_ASSERT(buffer) failed: GGML_ASSERT(buffer) failed", "--model"),
        ("cudaMalloc failed: out of memory", "--num-ctx"),
        ("words that nobody has seen before", "--model"),
    ],
)
async def test_a_load_that_fails_twice_alike_is_given_up_with_a_remedy(server, client, text, remedy):
    server.answers("/api/generate", fails(500, text))
    with pytest.raises(ModelError) as caught:
        await warmed(client)
    assert str(caught.value).startswith(f"The model '{MODEL}' cannot be used: {text}. ")
    assert remedy in str(caught.value)
    assert len(server.asked("/api/generate")) == 2


async def test_a_load_that_fails_in_two_ways_in_turn_is_given_up_when_one_comes_back(server, client):
    server.answers("/api/generate", *[fails(500, "signal: killed"), fails(500, "unexpected EOF")] * 9)
    with pytest.raises(ModelError, match="signal: killed"):
        await warmed(client)
    assert len(server.asked("/api/generate")) == 3


async def test_a_busy_server_is_waited_for_however_often_it_says_so(server, client):
    server.answers("/api/generate", *[fails(503, "server busy")] * 4, reads("", done_reason="load"))
    assert (await warmed(client)).digest == DIGEST


@pytest.mark.parametrize("path", ["/api/tags", "/api/show", "/api/ps"])
async def test_whatever_fails_twice_alike_ends_the_wait(server, client, path):
    server.answers(path, fails(500, "open /root/.ollama/models: permission denied"))
    with pytest.raises(ModelError, match="permission denied"):
        await warmed(client)
    assert len(server.asked(path)) == 2


async def test_each_new_error_is_shown_while_it_is_waited(server, client, told):
    busy = [fails(503, f"loading, {percent} %") for percent in (10, 20)]
    server.answers("/api/version", *busy, fails(502, "bad gateway"), says(version="0.33.0"))
    await warmed(client)
    notes = [event.message for event in told if isinstance(event, RunWarning)]
    assert len(notes) == 2
    assert "loading, 10 %. Trying again for" in notes[0]
    assert "bad gateway" in notes[1]


async def test_a_wait_that_ends_names_the_setting_that_it_goes_by(server, client):
    server.answers("/api/version", fails(503, "still starting"))
    limits = WarmSettings(deadline_seconds=PATIENCE, answer_seconds=0.3)
    with pytest.raises(ServerError, match=r"still starting.*HEARTH_WARM__ANSWER_SECONDS"):
        await warm(client, REQUEST, 1, limits, ledger=FileStore.of(Path(), client.url), require_gpu=False)


async def test_a_server_that_does_not_take_the_request_is_not_asked_again(server, client):
    server.answers("/api/generate", fails(400, "json: unknown field shift"))
    with pytest.raises(ServerError, match=r"does not accept Hearth's requests.*unknown field shift"):
        await warmed(client)
    assert len(server.asked("/api/generate")) == 1
