"""What goes over the wire to Ollama and back, and what each of its errors means."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import socket
import traceback
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.errors import FailureReason, HearthError, ModelError, PageError, PassingError, ServerError
from tasks.ollama.client import GenerateRequest, LoadedModel, Model, ModelDetails, OllamaClient, PullProgress
from tasks.ollama.schema import Timing
from tests.support.ollama.scripted import Say, ScriptedOllama, cut, fails, lines, reads, says
from tests.support.ollama.wire import DIGEST, MODEL
from tests.support.waiting import PATIENCE

REQUEST = GenerateRequest(MODEL, num_ctx=8192, num_predict=4096, keep_alive=600)
PROMPT = "Transcribe the secret page."
IMAGE = b"\x89PNG the bytes of a secret page"


@pytest.fixture
async def client(server: ScriptedOllama) -> AsyncIterator[OllamaClient]:
    async with OllamaClient(server.url, timeout=PATIENCE) as client:
        yield client


async def generate(client: OllamaClient):
    return await client.generate(REQUEST, PROMPT, (IMAGE,))


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


async def test_the_details_tell_the_family(server, client):
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


async def test_an_answer_tells_its_text_tokens_and_seconds(client):
    answer = await generate(client)
    assert (answer.response, answer.done_reason) == ("Hello.", "stop")
    assert (answer.prompt_eval_count, answer.eval_count) == (300, 20)
    assert answer.timing == Timing(total=1.0, load=0.1, prompt_eval=0.3, eval=0.5)
    assert answer.timing.queue == pytest.approx(0.1)


async def test_loading_asks_without_a_prompt_or_image(server, client):
    await client.load(REQUEST)
    (body,) = server.asked("/api/generate")
    assert (body["prompt"], body["images"]) == ("", [])


@given(st.integers(256, 200_000), st.integers(1, 200_000), st.floats(0, 1))
def test_loading_and_reading_differ_in_nothing_that_reloads_the_model(num_ctx, num_predict, temperature):
    """A change of num_ctx or shift between the warm-up and a page would load the model a second time."""
    request = GenerateRequest(MODEL, num_ctx, num_predict, 600)
    load, page = request.body(""), request.body(PROMPT, (IMAGE,), temperature)
    for body in (load, page):
        del body["prompt"], body["images"], body["options"]["temperature"]
    assert load == page
    assert load["options"]["num_ctx"] == num_ctx


@given(st.floats(0.001, 1e6))
def test_the_model_stays_loaded_at_least_as_long_as_it_was_asked_to(keep_alive):
    """Rounded down to 0s, it would be unloaded after each page."""
    sent = GenerateRequest(MODEL, 8192, 4096, keep_alive).body("")["keep_alive"]
    assert keep_alive <= int(sent.removesuffix("s")) < keep_alive + 1


async def test_the_headers_of_the_endpoint_go_with_each_request(server):
    async with OllamaClient(server.url, headers={"Authorization": "Bearer token"}) as client:
        await client.version()
        await generate(client)
    assert [headers["authorization"] for headers in server.headers] == ["Bearer token"] * 2


# What may be absent


@pytest.mark.parametrize("missing", ["done_reason", "eval_count", "prompt_eval_count", "total_duration", "model"])
async def test_an_answer_may_lack_what_is_not_vital(server, client, missing):
    whole = json.loads(reads().content)
    server.answers("/api/generate", says(**{name: whole[name] for name in whole if name != missing}))
    assert (await generate(client)).response == "Hello."


async def test_absent_durations_count_as_nothing(server, client):
    server.answers("/api/generate", says(response="Hello.", done=True))
    answer = await generate(client)
    assert answer.timing == Timing()
    assert answer.timing.queue == 0


async def test_models_may_lack_what_is_not_vital(server, client):
    server.answers("/api/tags", says(models=[{"name": MODEL, "digest": DIGEST}]))
    server.answers("/api/ps", says(models=[{"name": MODEL}]))
    server.answers("/api/show", says())
    assert await client.models() == (Model(name=MODEL, digest=DIGEST),)
    assert await client.loaded() == (LoadedModel(name=MODEL),)
    assert await client.details(MODEL) == ModelDetails()


@pytest.mark.parametrize("missing", ["response", "done"])
async def test_an_answer_without_what_is_vital_is_named_and_passes(server, client, missing):
    whole = json.loads(reads().content)
    server.answers("/api/generate", says(**{name: whole[name] for name in whole if name != missing}))
    with pytest.raises(PassingError, match=missing):
        await generate(client)


# Errors that Ollama tells

PERMANENT = [
    (500, "llama-server process has terminated: error loading model: unknown model architecture: 'mllama'"),
    (404, f"model '{MODEL}' not found"),
    (500, "pull model manifest: file does not exist"),
    (400, "invalid model name"),
    (500, "model requires more system memory (10.4 GiB) than is available (7.7 GiB)"),
    (500, "this model is no longer compatible with this version of Ollama"),
    (412, "pull model manifest: 412: this model requires a newer version of Ollama"),
    (400, '"llama3.2" does not support generate'),
    (500, "write /usr/share/ollama/.ollama/models/blobs/sha256-a1-partial: no space left on device"),
]
PASSING = [
    (503, "server busy, please try again.  maximum pending requests exceeded"),
    (499, "client closed request"),
    (500, "llama runner process has terminated: cudaMalloc failed: out of memory"),
    (500, "llama runner process has terminated: signal: killed"),
    (500, "timed out waiting for llama runner to start - progress 0.00 -"),
    (500, "POST predict: Post http://127.0.0.1:39123/completion: EOF"),
    (429, "too many requests"),
    (500, "something that nobody has seen before"),
]
REFUSED = [(400, "illegal base64 data at input byte 4"), (400, "image: unknown format"), (413, "request too large")]


@pytest.mark.parametrize(("status", "text"), PERMANENT)
async def test_what_asking_again_cannot_mend_is_the_models_error(server, client, status, text):
    server.answers("/api/generate", fails(status, text))
    with pytest.raises(ModelError) as caught:
        await generate(client)
    assert str(caught.value) == text


@pytest.mark.parametrize(("status", "text"), PASSING)
async def test_what_may_pass_is_a_passing_error_with_the_servers_words(server, client, status, text):
    server.answers("/api/generate", fails(status, text))
    with pytest.raises(PassingError) as caught:
        await generate(client)
    assert text in str(caught.value)
    assert server.url in str(caught.value)


@pytest.mark.parametrize(("status", "text"), REFUSED)
async def test_what_the_request_itself_brings_about_is_the_pages_error(server, client, status, text):
    server.answers("/api/generate", fails(status, text))
    with pytest.raises(PageError, match=text) as caught:
        await generate(client)
    assert caught.value.reason is FailureReason.REFUSED


@pytest.mark.parametrize("status", [401, 403])
async def test_a_server_that_refuses_access_says_what_to_check(server, client, status):
    server.answers("/api/version", fails(status, "missing token"))
    with pytest.raises(ServerError, match=r"refuses access \(missing token\).*check the address"):
        await client.version()


async def test_an_address_without_ollamas_api_says_what_to_correct(server, client):
    server.answers("/api/version", Say(b"404 page not found", 404))
    with pytest.raises(ServerError, match=r"no Ollama at .*HTTP 404.*Correct HEARTH_URL"):
        await client.version()


async def test_an_error_under_http_200_is_an_error(server, client):
    server.answers("/api/generate", says(error="something went wrong"))
    with pytest.raises(PassingError, match="something went wrong"):
        await generate(client)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("pull model manifest: file does not exist", ModelError),
        ("write /models/blobs/a1: no space left on device", ModelError),
        ("max retries exceeded: unexpected EOF", PassingError),
    ],
)
async def test_a_late_error_of_a_pull_is_told_though_its_status_was_200(server, client, text, kind):
    server.answers("/api/pull", lines({"status": "pulling manifest"}, {"error": text}))
    steps = []
    with pytest.raises(kind, match=text):
        steps.extend([step async for step in client.pull(MODEL)])


async def test_a_pull_that_is_refused_at_once_is_judged_like_any_request(server, client):
    server.answers("/api/pull", fails(400, "invalid model name"))
    with pytest.raises(ModelError, match="invalid model name"):
        [step async for step in client.pull("no such: name")]


async def test_a_long_error_is_shortened(server, client):
    server.answers("/api/generate", fails(500, "x" * 100_000))
    with pytest.raises(PassingError) as caught:
        await generate(client)
    assert len(str(caught.value)) < 500


# Answers that are none

BROKEN = {
    "a page of a proxy": Say(b"<html><h1>502 Bad Gateway</h1></html>", 502, headers={"Content-Type": "text/html"}),
    "a page under 200": Say(b"<html>Welcome</html>", headers={"Content-Type": "text/html"}),
    "JSON that ends early": Say(b'{"response": "Hel'),
    "a list": Say(b"[]"),
    "nothing": Say(b""),
    "not UTF-8": Say(b"\xff\xfe\x00"),
    "brackets without end": Say(b"[" * 100_000),
    "a number without end": Say(b'{"response": ' + b"1" * 10_000 + b"}"),
    "said to be compressed": Say(b"plain", headers={"Content-Encoding": "gzip"}),
    "compressed and cut": Say(gzip.compress(b"{}" * 1000)[:-9], headers={"Content-Encoding": "gzip"}),
    "in an unheard-of alphabet": Say(b"\xff", headers={"Content-Type": "application/json; charset=klingon"}),
    "cut off by the connection": cut(),
    "another kind of thing": says(response=["a"], done="perhaps"),
    "not begun": reads("", done=False),
    "an error without words": Say(b'{"error": null}', 500),
}


@pytest.mark.parametrize("say", BROKEN.values(), ids=BROKEN)
async def test_an_answer_that_is_none_is_a_passing_error(server, client, say):
    server.answers("/api/generate", say)
    with pytest.raises(PassingError, match=server.url):
        await generate(client)


async def test_a_pull_that_is_cut_off_is_a_passing_error(server, client):
    server.answers("/api/pull", cut(b'{"status": "pulling manifest"}\n'))
    with pytest.raises(PassingError, match="out of reach"):
        [step async for step in client.pull(MODEL)]


async def test_a_server_that_takes_too_long_is_a_passing_error(server):
    server.answers("/api/generate", Say(b"{}", after=10 * PATIENCE))
    async with OllamaClient(server.url, timeout=0.1) as client:
        with pytest.raises(PassingError, match="did not answer in time"):
            await generate(client)


async def test_a_server_that_is_not_there_is_a_passing_error():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    async with OllamaClient(url) as client:
        with pytest.raises(PassingError, match=f"{url} is out of reach"):
            await client.version()


async def test_a_server_that_hangs_up_is_a_passing_error():
    hanging_up = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    async with hanging_up, OllamaClient(f"http://127.0.0.1:{hanging_up.sockets[0].getsockname()[1]}") as client:
        with pytest.raises(PassingError, match="out of reach"):
            await client.version()


TROUBLE = [fails(status, text) for status, text in (*PERMANENT, *PASSING, *REFUSED)] + list(BROKEN.values())
TROUBLE += [says(response="the secret page"), says(response=["the secret page"], done=True), cut(b"the secret page")]


@pytest.mark.parametrize("say", TROUBLE)
async def test_no_error_tells_what_is_on_a_page(server, client, say):
    """Errors go to logs and to Prefect's database; the prompt and the page are nobody's business there."""
    server.answers("/api/generate", say)
    with pytest.raises(HearthError) as caught:
        await generate(client)
    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert "secret" not in told
    assert base64.b64encode(IMAGE).decode() not in told
