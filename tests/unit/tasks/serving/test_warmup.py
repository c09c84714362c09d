"""Getting a model warm: waiting, pulling, loading, placing and measuring."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.errors import ModelError, ServerError
from tasks.core.events import Event, Progress, Pulling, RunWarning, subscribe
from tasks.ollama.client import GenerateRequest, OllamaClient
from tasks.serving.parallelism import (
    SERIAL_FAMILIES,
    Served,
    at_once_while_some_wait,
    measure_parallelism,
    most_at_once,
)
from tasks.serving.remedies import shortfall
from tasks.serving.warmup import Warmth, warm
from tasks.settings.reading import WarmSettings
from tasks.slots.ledger import Measured
from tasks.slots.store import FileStore
from tests.support.ollama.scripted import Say, ScriptedOllama, fails, lines, reads, says, serving
from tests.support.ollama.wire import DIGEST, MODEL
from tests.support.waiting import PATIENCE

REQUEST = GenerateRequest(MODEL, num_ctx=8192, num_predict=4096, keep_alive=600)
SECONDS = 0.3
# By its own durations it works on nothing for long enough to work on two things at once.
ONE_BY_ONE = reads(prompt_eval_duration=1, eval_duration=1)
LISTED = says(models=[{"name": MODEL, "digest": DIGEST}])


@pytest.fixture
async def client(server: ScriptedOllama) -> AsyncIterator[OllamaClient]:
    async with OllamaClient(server.url, timeout=PATIENCE) as client:
        yield client


@pytest.fixture
def told() -> Iterator[list[Event]]:
    events: list[Event] = []
    with subscribe(events.append):
        yield events


async def warmed(
    client: OllamaClient, slots: int = 1, deadline: float = PATIENCE, *, require_gpu: bool = False
) -> Warmth:
    limits = WarmSettings(deadline_seconds=deadline)
    ledger = FileStore.of(Path(), client.url)  # the test's own directory
    return await warm(client, REQUEST, slots, limits, ledger=ledger, require_gpu=require_gpu)


def placed(size: int, in_vram: int) -> Say:
    return says(models=[{"name": MODEL, "size": size, "size_vram": in_vram}])


def family(name: str) -> Say:
    return says(details={"family": name})


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


# Pulling


async def test_a_model_that_is_there_is_not_pulled(server, client):
    await warmed(client)
    assert server.asked("/api/pull") == []


async def test_a_missing_model_is_pulled_and_its_progress_told(server, client, told):
    server.answers("/api/tags", says(models=[]), LISTED)
    server.answers(
        "/api/pull",
        lines({"status": "pulling a1", "completed": 40, "total": 100}, {"status": "success"}),
    )
    assert (await warmed(client)).digest == DIGEST
    assert server.asked("/api/pull") == [{"model": MODEL, "stream": True}]
    assert [event for event in told if isinstance(event, Pulling)] == [
        Pulling("pulling a1", 40, 100),
        Pulling("success", 0, 0),
    ]


async def test_a_model_that_does_not_exist_says_to_check_its_name(server, client):
    server.answers("/api/tags", says(models=[]))
    late = lines({"status": "pulling manifest"}, {"error": "pull model manifest: file does not exist"})
    server.answers("/api/pull", late)
    with pytest.raises(ModelError, match=rf"'{MODEL}' cannot be pulled .*file does not exist.*Check its name"):
        await warmed(client)
    assert len(server.asked("/api/pull")) == 1


async def test_a_pull_that_breaks_off_goes_on(server, client):
    server.answers("/api/tags", says(models=[]), says(models=[]), LISTED)
    server.answers("/api/pull", lines({"error": "max retries exceeded: EOF"}), lines({"status": "success"}))
    assert (await warmed(client)).digest == DIGEST
    assert len(server.asked("/api/pull")) == 2


async def test_a_download_may_take_longer_than_the_deadline(server, client):
    """As long as it goes on: given up, it would have to be paid for again."""
    server.answers("/api/tags", says(models=[]), LISTED)

    async def slow(_body):
        await asyncio.sleep(5)
        return lines({"status": "success"})

    server.answers("/api/pull", slow)
    assert (await warmed(client, deadline=4)).digest == DIGEST


async def test_a_download_that_never_ends_does(server, client):
    server.answers("/api/tags", says(models=[]))
    server.answers("/api/pull", replace(lines({"status": "success"}), after=10 * PATIENCE))
    limits = WarmSettings(deadline_seconds=PATIENCE, pull_seconds=0.5)
    with pytest.raises(ServerError, match="before the deadline"):
        await warm(client, REQUEST, 1, limits, ledger=FileStore.of(Path(), client.url), require_gpu=False)


async def test_a_pull_that_brings_nothing_says_to_pull_by_hand(server, client):
    server.answers("/api/tags", says(models=[]))
    with pytest.raises(ModelError, match=r"does not list it\. Pull it there by hand"):
        await warmed(client)


async def test_a_pull_that_fails_twice_alike_is_given_up_with_a_remedy(server, client):
    """Without a network each try fails with these words, under HTTP 200 and from another port."""
    why = 'pull model manifest: Get "https://r.ai/v2/": dial tcp: read udp 10.0.0.2:{}->9.9.9.9:53: i/o timeout'
    server.answers("/api/tags", says(models=[]))
    server.answers("/api/pull", lines({"error": why.format(4711)}), lines({"error": why.format(815)}))
    with pytest.raises(ModelError, match=r"cannot be pulled .*i/o timeout.*HTTPS_PROXY"):
        await warmed(client)
    assert len(server.asked("/api/pull")) == 2


async def test_a_download_that_gets_on_may_break_off_again_and_again(server, client):
    broken = {"error": "max retries exceeded: unexpected EOF"}
    steps = [{"status": "pulling a1", "digest": "sha256:a1", "completed": done, "total": 90} for done in (30, 60, 90)]
    server.answers("/api/tags", *[says(models=[])] * 3, LISTED)
    server.answers(
        "/api/pull", lines(steps[0], broken), lines(steps[1], broken), lines(steps[2], {"status": "success"})
    )
    assert (await warmed(client)).digest == DIGEST


async def test_the_embedded_server_is_named_as_the_mistake_where_it_cannot_have_the_model(server, client):
    server.answers("/api/version", says(version="0.33.0+embedded"))
    server.answers("/api/tags", says(models=[]))
    server.answers("/api/pull", lines({"error": "pull model manifest: file does not exist"}))
    with pytest.raises(ModelError, match=rf"backend is the mistake.*embedded.*{MODEL}.*--backend ollama"):
        await warmed(client)


# Loading


async def test_the_model_is_loaded_with_the_options_of_the_pages(server, client):
    await warmed(client, slots=2)
    load, *probes = server.asked("/api/generate")
    assert load == REQUEST.body("")
    assert {probe["options"]["num_ctx"] for probe in probes} == {8192}


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


async def test_a_measurement_that_fails_twice_alike_is_given_up(server, client):
    server.answers("/api/generate", reads(""), fails(500, "failed to process image"))
    with pytest.raises(ModelError, match="failed to process image"):
        await warmed(client, 2)


async def test_each_new_error_is_shown_while_it_is_waited(server, client, told):
    busy = [fails(503, f"loading, {percent} %") for percent in (10, 20)]
    server.answers("/api/version", *busy, fails(502, "bad gateway"), says(version="0.33.0"))
    await warmed(client)
    notes = [event.what for event in told if isinstance(event, RunWarning)]
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
    with pytest.raises(ServerError, match=r"does not take Hearth's requests.*unknown field shift"):
        await warmed(client)
    assert len(server.asked("/api/generate")) == 1


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


# Measuring


@pytest.mark.parametrize("durations", [True, False], ids=["by durations", "by the clock"])
@pytest.mark.parametrize(("asked", "serves"), [(2, 2), (4, 2), (2, 1), (2, 3)])
async def test_the_requests_that_a_server_really_serves_at_once_are_counted(server, client, asked, serves, durations):
    server.answers("/api/generate", serving(serves, SECONDS, durations=durations))
    assert (await warmed(client, asked)).measured.slots == min(asked, serves)


@pytest.mark.parametrize(("asked", "serves"), [(4, 4), (8, 4), (4, 1)])
async def test_requests_that_are_over_in_a_moment_are_counted_right_each_time(server, client, asked, serves):
    """One probe each would be over before the last one came: sent one after another they meet."""
    server.answers("/api/generate", serving(serves, 0.02))
    counts = [(await measure_parallelism(client, REQUEST, asked)).slots for _ in range(5)]
    assert counts == [serves] * 5


async def test_one_slot_needs_no_measuring(server, client):
    await warmed(client, 1)
    assert server.asked("/api/generate") == [REQUEST.body("")]


async def test_a_measurement_that_is_interrupted_is_made_again(server, client):
    server.answers("/api/generate", reads(""), reads(), fails(503, "busy"), reads())
    assert (await warmed(client, 2)).measured.slots == 2


async def test_a_family_that_ollama_serves_one_by_one_is_named(server, client, told):
    server.answers("/api/show", family("qwen3vl"))
    server.answers("/api/generate", ONE_BY_ONE)
    warmth = await warmed(client, 2)
    assert warmth.measured.slots == 1
    assert "1 of the 2 slots" in warmth.note
    assert "family qwen3vl one request at a time" in warmth.note
    assert RunWarning(warmth.note) in told


async def test_a_server_with_fewer_slots_than_asked_for_is_told(server, client):
    server.answers("/api/generate", ONE_BY_ONE)
    assert "OLLAMA_NUM_PARALLEL" in (await warmed(client, 2)).note


@pytest.mark.parametrize(
    ("started_for", "busy", "cause"),
    [
        (4, False, r"was started for 4\. Run `hearth stop`: the next run starts one for 8"),
        (4, True, r"was started for 4\. Run `hearth stop`"),
        (8, False, "works on no more at once, though it was started for 8"),
        (None, False, "OLLAMA_NUM_PARALLEL=8"),
        (None, True, "others used the server while it was measured"),
    ],
)
def test_fewer_slots_than_requested_are_told_with_cause_and_remedy(started_for, busy, cause):
    measured = Measured(what="m", slots=4, asked=8, at=0, busy=busy)
    told = shortfall(8, measured, "qwen25vl", started_for)
    assert told is not None
    assert told.startswith("4 of the 8 slots requested: ")
    assert re.search(cause, told)


def test_as_many_slots_as_requested_are_nothing_to_tell():
    assert shortfall(4, Measured(what="m", slots=4, asked=4, at=0), "qwen25vl", 4) is None


def test_the_default_model_is_of_a_family_that_ollama_serves_in_parallel():
    assert "qwen25vl" not in SERIAL_FAMILIES


async def test_each_step_is_told_in_order(server, client, told):
    server.answers("/api/tags", says(models=[]), LISTED)
    await warmed(client)
    stages = [event.what.split()[0] for event in told if isinstance(event, Progress)]
    assert stages == ["waiting", "pulling", "loading", "measuring"]


# Counting what overlaps

spans = st.builds(lambda start, length: Served(start, start + length), st.integers(0, 60), st.integers(1, 40))


def inner(span: Served) -> tuple[float, float]:
    """A span without its edges."""
    edge = (span.end - span.start) * 0.15
    return span.start + edge, span.end - edge


@given(st.lists(spans, min_size=1, max_size=12))
def test_most_at_once_is_the_fullest_moment(served):
    cores = [inner(span) for span in served]
    fullest = max(sum(start <= moment < end for start, end in cores) for moment, _ in cores)
    assert most_at_once(served) == fullest


@given(st.integers(1, 8), st.integers(1, 5), st.floats(-0.14, 0.14))
def test_rows_of_requests_count_as_many_as_there_are_rows(rows, turns, slip):
    """One right after the other in each row, by a clock that is off by up to a seventh of a request."""
    served = [Served(turn + slip * (turn % 2), turn + 1 + slip * (turn % 2)) for turn in range(turns)] * rows
    assert most_at_once(served) == rows


def test_nothing_served_is_nothing_at_once():
    assert most_at_once([]) == 0


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


@given(st.integers(1, 6), st.integers(1, 4), st.integers(1, 30))
def test_while_some_wait_a_server_works_on_as_many_as_it_can(slots, more, length):
    """A queue before so many slots, each request as long as the others."""
    rounds = [(turn * length, (turn + 1) * length) for turn in range(3)]
    served = [Served(start, end, 0.0) for start, end in rounds for _ in range(slots)]
    late = [Served(3 * length, 4 * length, 0.0)] * min(more, slots)
    assert at_once_while_some_wait(served + late) == slots


def test_where_nobody_waits_nothing_follows_of_how_many_it_could_be():
    assert at_once_while_some_wait([Served(0, 1, 0), Served(0, 1, 0)]) is None


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
