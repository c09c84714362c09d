"""The meaning of Ollama's errors, and invalid responses."""

from __future__ import annotations

import asyncio
import base64
import gzip
import socket
import traceback

import pytest

from tasks.core.errors import FailureReason, HearthError, ModelError, PageError, ServerError, TransientError
from tasks.ollama.client import OllamaClient
from tests.support.ollama.scripted import Say, cut, fails, lines, reads, says
from tests.support.ollama.wire import MODEL
from tests.support.waiting import PATIENCE
from tests.unit.tasks.ollama.page_request import IMAGE, generate

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
async def test_a_permanent_failure_is_a_model_error(server, client, status, text):
    server.answers("/api/generate", fails(status, text))
    with pytest.raises(ModelError) as caught:
        await generate(client)
    assert str(caught.value) == text


@pytest.mark.parametrize(("status", "text"), PASSING)
async def test_a_failure_that_may_pass_is_a_transient_error_with_the_servers_message(server, client, status, text):
    server.answers("/api/generate", fails(status, text))
    with pytest.raises(TransientError) as caught:
        await generate(client)
    assert text in str(caught.value)
    assert server.url in str(caught.value)


@pytest.mark.parametrize(("status", "text"), REFUSED)
async def test_a_failure_of_the_request_itself_is_a_page_error(server, client, status, text):
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
    with pytest.raises(TransientError, match="something went wrong"):
        await generate(client)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("pull model manifest: file does not exist", ModelError),
        ("write /models/blobs/a1: no space left on device", ModelError),
        ("max retries exceeded: unexpected EOF", TransientError),
    ],
)
async def test_a_late_error_of_a_pull_is_reported_despite_status_200(server, client, text, kind):
    server.answers("/api/pull", lines({"status": "pulling manifest"}, {"error": text}))
    steps = []
    with pytest.raises(kind, match=text):
        steps.extend([step async for step in client.pull(MODEL)])


async def test_a_pull_that_is_refused_at_once_is_classified_like_any_request(server, client):
    server.answers("/api/pull", fails(400, "invalid model name"))
    with pytest.raises(ModelError, match="invalid model name"):
        [step async for step in client.pull("no such: name")]


async def test_a_long_error_is_shortened(server, client):
    server.answers("/api/generate", fails(500, "x" * 100_000))
    with pytest.raises(TransientError) as caught:
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
async def test_an_invalid_response_is_a_transient_error(server, client, say):
    server.answers("/api/generate", say)
    with pytest.raises(TransientError, match=server.url):
        await generate(client)


async def test_a_pull_that_is_cut_off_is_a_transient_error(server, client):
    server.answers("/api/pull", cut(b'{"status": "pulling manifest"}\n'))
    with pytest.raises(TransientError, match="out of reach"):
        [step async for step in client.pull(MODEL)]


async def test_a_server_that_takes_too_long_is_a_transient_error(server):
    server.answers("/api/generate", Say(b"{}", after=10 * PATIENCE))
    async with OllamaClient(server.url, timeout=0.1) as client:
        with pytest.raises(TransientError, match="did not finish an answer"):
            await generate(client)


async def test_an_unreachable_server_is_a_transient_error():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    async with OllamaClient(url) as client:
        with pytest.raises(TransientError, match=f"{url} is out of reach"):
            await client.version()


async def test_a_server_that_hangs_up_is_a_transient_error():
    hanging_up = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    async with hanging_up, OllamaClient(f"http://127.0.0.1:{hanging_up.sockets[0].getsockname()[1]}") as client:
        with pytest.raises(TransientError, match="out of reach"):
            await client.version()


TROUBLE = [fails(status, text) for status, text in (*PERMANENT, *PASSING, *REFUSED)] + list(BROKEN.values())
TROUBLE += [says(response="the secret page"), says(response=["the secret page"], done=True), cut(b"the secret page")]


@pytest.mark.parametrize("say", TROUBLE)
async def test_no_error_contains_text_of_a_page(server, client, say):
    """Errors go to logs and to Prefect's database, where the prompt and the page must not be."""
    server.answers("/api/generate", say)
    with pytest.raises(HearthError) as caught:
        await generate(client)
    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert "secret" not in told
    assert base64.b64encode(IMAGE).decode() not in told
