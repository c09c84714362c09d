"""Failures between the client and its server: proxies, certificates and redirects, each with its cause."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tasks.core import network
from tasks.core.errors import HearthError, InputError, ServerError, TransientError
from tasks.core.network import normalize_environment
from tasks.ollama.client import OllamaClient
from tasks.serving.clients import fetch_digest
from tests.support.ollama.scripted import Say, ScriptedOllama, says
from tests.support.ollama.wire import MODEL
from tests.support.relays import proxy, tls_server
from tests.support.waiting import PATIENCE

FAR = "http://far.example:11434"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "unusable", {})
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        for spelling in (name, name.lower()):
            monkeypatch.setenv(spelling, "")
            monkeypatch.delenv(spelling)


async def version(url: str, **options: object) -> str:
    async with OllamaClient(url, timeout=PATIENCE, **options) as client:
        return await client.version()


# Proxies


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize("scheme", ["http", "socks5", "socks5h", "socks"])
async def test_a_far_server_is_reached_through_the_proxy(
    server: ScriptedOllama, monkeypatch: pytest.MonkeyPatch, variable: str, scheme: str
):
    with proxy(server.url) as (port, asked):
        monkeypatch.setenv(variable, f"{scheme}://127.0.0.1:{port}")
        normalize_environment()
        assert await version(FAR) == "0.33.0"
    assert asked == ["far.example:11434"]


@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_a_server_of_this_machine_is_reached_directly(
    server: ScriptedOllama, monkeypatch: pytest.MonkeyPatch, scheme: str
):
    with proxy(server.url) as (port, asked):
        monkeypatch.setenv("ALL_PROXY", f"{scheme}://127.0.0.1:{port}")
        assert await version(server.url) == "0.33.0"
        assert await version(server.url.replace("127.0.0.1", "localhost")) == "0.33.0"
    assert not asked


async def test_a_proxy_that_is_out_of_reach_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ALL_PROXY", "http://user:secret@127.0.0.1:9")
    with pytest.raises(TransientError, match=r"out of reach through the proxy http://127") as caught:
        await version(FAR)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", [FAR, "https://far.example"])
@pytest.mark.parametrize(("status", "error"), [(403, ServerError), (407, ServerError), (502, TransientError)])
async def test_a_proxy_that_refuses_is_named(
    monkeypatch: pytest.MonkeyPatch, url: str, status: int, error: type[HearthError]
):
    """Refused for good, or out of reach for now."""
    answer = f"HTTP/1.1 {status} Words\r\nContent-Length: 0\r\n\r\n".encode()
    with proxy("http://127.0.0.1:9", answer) as (port, _):
        monkeypatch.setenv("ALL_PROXY", f"http://user:secret@127.0.0.1:{port}")
        with pytest.raises(error, match=f"proxy http://127.0.0.1:{port}") as caught:
            await version(url)
    assert "secret" not in str(caught.value)


# Certificates


async def test_an_untrusted_certificate_is_reported(tmp_path: Path):
    with (
        tls_server(tmp_path) as (url, _),
        pytest.raises(ServerError, match=r"certificate of https://.* is not trusted .*HEARTH_URL_CA"),
    ):
        await version(url)


async def test_a_certificate_is_trusted_by_a_file(tmp_path: Path):
    with tls_server(tmp_path) as (url, certificate):
        assert await version(url, trust=certificate) == "0.33.0"


async def test_a_certificate_is_trusted_by_the_environments_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with tls_server(tmp_path) as (url, certificate):
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert await version(url) == "0.33.0"


async def test_a_certificate_of_another_host_is_not_trusted(tmp_path: Path):
    with (
        tls_server(tmp_path, host="127.0.0.2") as (url, certificate),
        pytest.raises(ServerError, match=r"is not trusted .*IP address mismatch"),
    ):
        await version(url, trust=certificate)


async def test_an_unusable_certificate_file_is_reported_with_its_variable(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SSL_CERT_FILE", "/missing.pem")
    normalize_environment()
    with pytest.raises(InputError, match=r"SSL_CERT_FILE names /missing.pem"):
        await version("https://127.0.0.1:9")


async def test_tls_to_a_plain_server_is_reported(server: ScriptedOllama):
    with pytest.raises(ServerError, match=r"does not speak TLS. Write its address with http://"):
        await version(server.url.replace("http:", "https:"))


async def test_plain_http_to_a_tls_server_is_reported(server: ScriptedOllama):
    """Go and nginx word it differently."""
    server.answers("/api/version", Say(b"Client sent an HTTP request to an HTTPS server.\n", 400))
    with pytest.raises(ServerError, match=r"speaks TLS. Write its address with https://"):
        await version(server.url)


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_reported_and_not_followed(server: ScriptedOllama, status: int):
    moved = {"Location": "https://user:secret@elsewhere.example/login?token=secret"}
    server.answers("/api/version", replace(says(), status=status, headers=moved))
    with pytest.raises(ServerError, match=rf"to https://elsewhere\.example/login \(HTTP {status}\)") as caught:
        await version(server.url, headers={"Authorization": "Bearer token"})
    assert "secret" not in str(caught.value)
    assert len(server.calls) == 1


async def test_fetching_a_digest_sends_the_credentials(server: ScriptedOllama):
    await fetch_digest(OllamaClient(server.url, headers={"Authorization": "Bearer token"}), MODEL)
    assert server.headers[-1]["authorization"] == "Bearer token"


async def test_a_proxy_is_asked_for_the_very_server(server: ScriptedOllama, monkeypatch: pytest.MonkeyPatch):
    """A path before Ollama's own stays."""
    server.answers("/ollama/api/version", says(version="1"))
    with proxy(server.url) as (port, _):
        monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{port}")
        assert await version(f"{FAR}/ollama") == "1"
    assert urlsplit(FAR).netloc == server.headers[-1]["host"]
