"""Servers that someone else runs: how they are addressed, and what is sent along."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.backends.url import UrlBackend
from tasks.core.errors import InputError
from tasks.settings.settings import load_settings
from tests.support.ollama.scripted import ScriptedOllama
from tests.support.ollama.wire import DIGEST, MODEL
from tests.support.relays import tls_server

SECRET = "s3cret"


async def headers_of(**environment: str) -> dict[str, str]:
    """What is sent to the one server that the environment names."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        allocation = await UrlBackend(load_settings()).acquire(1, "test")
    assert SECRET not in repr(allocation)
    return dict(allocation.endpoint.headers)


async def test_a_token_is_sent():
    assert await headers_of(HEARTH_URL="far.example", HEARTH_URL_TOKEN=SECRET) == {"Authorization": f"Bearer {SECRET}"}


async def test_headers_are_sent():
    sent = await headers_of(HEARTH_URL="far.example", HEARTH_URL_HEADERS=f'{{"X-Api-Key": "{SECRET}"}}')
    assert sent == {"X-Api-Key": SECRET}


async def test_an_address_keeps_its_own_credentials_where_others_have_the_token():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEARTH_URL", f"http://user:{SECRET}@one.example,http://two.example")
        patch.setenv("HEARTH_URL_TOKEN", SECRET)
        patch.setenv("HEARTH_URL_HEADERS", '{"authorization": "Other x"}')
        backend = UrlBackend(load_settings())
    one, two = await backend.acquire(1, "test"), await backend.acquire(1, "test")
    assert (one.endpoint.url, two.endpoint.url) == ("http://one.example:80", "http://two.example:80")
    assert one.endpoint.headers["Authorization"].startswith("Basic ")
    assert two.endpoint.headers == {"Authorization": f"Bearer {SECRET}"}
    assert SECRET not in backend.describe()


async def test_the_credentials_are_sent_with_the_first_glance_and_every_request(
    server: ScriptedOllama, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HEARTH_URL", server.url.replace("http://", f"http://user:{SECRET}@"))
    backend = UrlBackend(load_settings())
    assert await backend.digest(MODEL) == DIGEST
    async with (await backend.acquire(1, "test")).endpoint.client(5) as client:
        await client.version()
    assert all(headers["authorization"].startswith("Basic ") for headers in server.headers)


async def test_its_certificate_is_trusted_by_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with tls_server(tmp_path) as (url, certificate):
        monkeypatch.setenv("HEARTH_URL", url)
        monkeypatch.setenv("HEARTH_URL_CA", str(certificate))
        async with (await UrlBackend(load_settings()).acquire(1, "test")).endpoint.client(5) as client:
            assert await client.version() == "0.33.0"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HEARTH_URL_TOKEN", f"{SECRET}\nX: y"),
        ("HEARTH_URL_TOKEN", f"{SECRET} é"),
        ("HEARTH_URL_HEADERS", f'{{"X": "{SECRET}\\r\\nY: z"}}'),
        ("HEARTH_URL_HEADERS", f'{{"X Y": "{SECRET}"}}'),
        ("HEARTH_URL_HEADERS", f"X: {SECRET}"),
        ("HEARTH_URL_CA", f"/missing/{SECRET[:0]}ca.pem"),
        ("HEARTH_URL", f"http://user:{SECRET}@far.example:99999"),
    ],
)
def test_what_cannot_be_sent_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch, name: str, value: str):
    monkeypatch.setenv("HEARTH_URL", "far.example")
    monkeypatch.setenv(name, value)
    with pytest.raises(InputError) as caught:
        UrlBackend(load_settings())
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("written", ['"localhost:1234"', ":1234", "localhost:1234", " localhost:1234 "])
async def test_a_server_is_found_by_what_ollama_itself_reads(monkeypatch: pytest.MonkeyPatch, written: str):
    monkeypatch.setenv("OLLAMA_HOST", written)
    allocation = await UrlBackend(load_settings()).acquire(1, "test")
    assert allocation.endpoint.url in {"http://localhost:1234", "http://127.0.0.1:1234"}


async def test_a_port_that_ollama_would_pass_over_is_passed_over(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OLLAMA_HOST", "gpu.example:66000")
    assert (await UrlBackend(load_settings()).acquire(1, "test")).endpoint.url == "http://gpu.example:11434"


@pytest.mark.parametrize("written", ["", " ", '""'])
def test_an_empty_address_is_none(monkeypatch: pytest.MonkeyPatch, written: str):
    monkeypatch.setenv("OLLAMA_HOST", written)
    assert load_settings().url is None
