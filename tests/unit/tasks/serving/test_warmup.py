"""Getting a model warm: waiting for its server, and placing it; what it can do."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from tasks.core.errors import ModelError, SchemaRefusedError, ServerError
from tasks.core.events import RunWarning
from tasks.ollama.client import OllamaClient
from tasks.serving.warmup import warm
from tasks.settings.reading import WarmSettings
from tasks.slots.store import FileStore
from tests.support.ollama.scripted import Say, ScriptedOllama, fails, says
from tests.support.ollama.wire import DIGEST, LOADED, MODEL
from tests.support.waiting import PATIENCE
from tests.unit.tasks.serving.warming import REQUEST, family, warmed


def placed(size: int, in_vram: int) -> Say:
    return says(models=[{"name": MODEL, "size": size, "size_vram": in_vram}])


# Waiting


async def test_a_warm_model_is_told_with_its_digest_and_family(client):
    warmth = await warmed(client)
    assert (warmth.digest, warmth.family, warmth.measured.slots) == (DIGEST, "qwen25vl", 1)


async def test_a_server_is_waited_for_until_it_answers(server, client):
    server.answers("/api/version", fails(503, "starting"), Say(b"<html>", 502), says(version="0.33.0"))
    assert (await warmed(client)).digest == DIGEST
    assert len(server.asked("/api/version")) == 3


async def test_a_server_that_goes_on_failing_is_given_up_with_its_last_words(server, client):
    server.answers("/api/version", fails(503, "still starting"))
    with pytest.raises(ServerError, match=r"deadline: .*still starting\. .*HEARTH_WARM__DEADLINE_SECONDS"):
        await warmed(client, deadline=0.3)


async def test_a_server_that_says_nothing_is_given_up_at_the_deadline(server, client):
    """However long the client would wait for a load."""
    never = threading.Event()

    async def silent(_body):
        await asyncio.to_thread(never.wait, PATIENCE)
        return says(version="0.33.0")

    server.answers("/api/version", silent)
    with pytest.raises(ServerError, match="deadline: it has not answered"):
        await warmed(client, deadline=0.3)
    never.set()


async def test_a_server_that_refuses_access_is_not_asked_again(server, client):
    server.answers("/api/version", fails(401, "unauthorized"))
    with pytest.raises(ServerError, match="check the address"):
        await warmed(client)
    assert len(server.calls) == 1


# Placing


async def test_a_model_that_spills_to_the_cpu_is_a_caution(server, client, told):
    server.answers("/api/ps", placed(6_000_000_000, 2_500_000_000))
    warmth = await warmed(client)
    assert "2.5 of its 6.0 GB are in GPU memory" in warmth.note
    assert RunWarning(warmth.note) in told


async def test_a_model_that_spills_is_an_error_where_a_gpu_is_required(server, client):
    server.answers("/api/ps", placed(6_000_000_000, 2_500_000_000))
    with pytest.raises(ModelError, match=r"2\.5 of its 6\.0 GB .*more GPU memory"):
        await warmed(client, require_gpu=True)


async def test_a_model_on_the_cpu_alone_is_told_with_the_option(server, client, told):
    server.answers("/api/ps", placed(6_000_000_000, 0))
    warmth = await warmed(client)
    assert "runs on the CPU alone" in warmth.note
    assert "--require-gpu" in warmth.note
    assert RunWarning(warmth.note) in told


async def test_a_model_on_the_cpu_alone_is_an_error_where_a_gpu_is_required(server, client):
    server.answers("/api/ps", placed(6_000_000_000, 0))
    with pytest.raises(ModelError, match="GPU memory"):
        await warmed(client, require_gpu=True)


async def test_a_model_wholly_in_gpu_memory_is_what_a_gpu_is_required_for(client):
    assert (await warmed(client, require_gpu=True)).note is None


# What a model can do


def shown(*capabilities: str, context: int = 128_000, **fields: object) -> Say:
    info = {"general.architecture": "qwen25vl", "qwen25vl.context_length": context}
    return says(details={"family": "qwen25vl"}, capabilities=list(capabilities), model_info=info, **fields)


async def test_a_model_without_vision_is_refused_before_it_is_loaded(server, client):
    server.answers("/api/show", shown("completion", "tools"))
    with pytest.raises(ModelError, match=r"lists completion, tools, and no vision\. Choose .* --model"):
        await warmed(client)
    assert server.asked("/api/generate") == []


async def test_what_is_listed_with_the_model_counts_where_it_is_not_shown(server, client):
    server.answers("/api/show", family("llama"))
    server.answers("/api/tags", says(models=[{"name": MODEL, "digest": DIGEST, "capabilities": ["completion"]}]))
    with pytest.raises(ModelError, match="no vision"):
        await warmed(client)


@pytest.mark.parametrize("told", [{}, {"capabilities": None}, {"capabilities": []}, {"capabilities": "odd"}])
async def test_a_server_that_tells_no_capabilities_is_trusted(server, client, told):
    server.answers("/api/show", says(details={"family": "qwen25vl"}, model_info=None, **told))
    assert (await warmed(client)).digest == DIGEST


@pytest.mark.parametrize(("capabilities", "think"), [(("vision",), None), (("vision", "thinking"), False)])
async def test_a_model_that_can_think_is_told_not_to_from_its_load_on(server, client, capabilities, think):
    server.answers("/api/show", shown(*capabilities))
    warmth = await warmed(client, 2)
    assert warmth.thinks == (think is False)
    assert {body.get("think") for body in server.asked("/api/generate")} == {think}


async def test_a_context_above_the_models_own_is_told_with_the_option(server, client, told):
    server.answers("/api/show", shown("vision", context=4096))
    warmth = await warmed(client)
    assert "a context of 4096 tokens" in warmth.note
    assert "--num-ctx 4096" in warmth.note
    assert RunWarning(warmth.note) in told


async def test_a_context_that_the_server_made_smaller_is_told(server, client):
    loaded = {"name": MODEL, "size": 9, "size_vram": 9, "context_length": 2048}
    server.answers("/api/ps", says(models=[loaded]))
    assert "--num-ctx 2048" in (await warmed(client)).note


async def test_the_embedded_servers_model_has_no_context_and_wants_no_gpu(server, client):
    server.answers("/api/show", says(details={"family": "tesseract"}, model_info={"tesseract.context_length": 4096}))
    server.answers("/api/ps", placed(4_000_000, 0))
    assert (await warmed(client)).note is None


async def test_a_model_of_another_digest_than_the_settings_name_reads_nothing(
    server: ScriptedOllama, client: OllamaClient
):
    limits = WarmSettings(deadline_seconds=PATIENCE, model_digest="0" * 12)
    with pytest.raises(ModelError, match=rf"has another {MODEL} than HEARTH_WARM__MODEL_DIGEST names: {DIGEST[:12]}"):
        await warm(client, REQUEST, 1, limits, ledger=FileStore.of(Path(), client.url), require_gpu=False)
    assert server.asked("/api/generate") == []


async def test_a_model_of_the_digest_that_the_settings_name_reads(client: OllamaClient):
    limits = WarmSettings(deadline_seconds=PATIENCE, model_digest=DIGEST[:12])
    warmth = await warm(client, REQUEST, 1, limits, ledger=FileStore.of(Path(), client.url), require_gpu=False)
    assert warmth.digest == DIGEST


# A JSON Schema


async def test_a_server_that_takes_the_schema_gets_warm(server, client):
    await warmed(client, schema='{"type":"object"}')
    first, *_ = server.asked("/api/generate")[1:]
    assert (first["format"], first["options"]["num_predict"]) == ({"type": "object"}, 1)


@pytest.mark.parametrize(
    "refusal",
    [
        fails(500, "invalid JSON schema in format"),
        fails(400, 'invalid format: "x"; expected "json" or a valid JSON Schema object'),
        fails(500, '{"error":{"code":400,"message":"JSON schema error at #: unsupported $ref"}}'),
    ],
    ids=["Ollama's", "Ollama's of a format", "llama-server's within Ollama's"],
)
async def test_a_schema_that_the_server_refuses_ends_the_run_at_once(server, client, refusal: Say):
    server.answers("/api/generate", says(**LOADED), refusal)
    with pytest.raises(SchemaRefusedError, match=r"does not accept the JSON Schema\. .*Use fewer of"):
        await warmed(client, schema='{"type":"object"}')
    assert len(server.asked("/api/generate")) == 2


async def test_an_engine_that_reads_text_alone_is_refused_a_schema_whatever_its_models_name(server, client):
    server.answers("/api/show", family("tesseract"))
    with pytest.raises(ModelError, match=r"is OCR \(Tesseract\) and reads text alone"):
        await warmed(client, schema='{"type":"object"}')
    assert server.asked("/api/generate") == []
