"""The port of Hearth's own Prefect server stays, and its clients know whether it is Hearth's server that answers."""

from __future__ import annotations

import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from flows.local import own_server
from flows.local.own_server import choose_port, remembered_port, was_own
from flows.local.prefect_app import Proving, knows_password
from tasks.backends.local.server import LeasedServer, ServerSpec, lease_server
from tasks.backends.local.server_state import local_servers, stop_server
from tasks.core.errors import ServerError
from tasks.ollama.address import free_port
from tests.support.waiting import PATIENCE, until_async

PASSWORD = "hearth:hush"


@pytest.fixture
def usual(monkeypatch: pytest.MonkeyPatch) -> int:
    """A port that is free, in the place of 4200, which somebody may use on this machine."""
    port = free_port()
    monkeypatch.setattr(own_server, "DEFAULT_PORT", port)
    return port


@contextmanager
def taken(*ports: int) -> Iterator[None]:
    with ExitStack() as stack:
        for port in ports:
            stack.enter_context(socket.create_server(("127.0.0.1", port)))
        yield


def remember(home: Path, port: object) -> None:
    (home / "prefect-port").write_text(f"{port}\n")


def test_the_port_is_the_default_if_that_is_free(usual: int, tmp_path: Path):
    assert choose_port(tmp_path) == usual
    remember(tmp_path, free_port())
    assert choose_port(tmp_path) == usual


def test_the_second_choice_is_the_last_port(usual: int, tmp_path: Path):
    remember(tmp_path, last := free_port())
    with taken(usual):
        assert choose_port(tmp_path) == last


def test_the_third_choice_is_any_free_port(usual: int, tmp_path: Path):
    remember(tmp_path, last := free_port())
    with taken(usual, last):
        assert choose_port(tmp_path) not in {usual, last}


@pytest.mark.parametrize("written", ["", "no port", "0", "65536", "-1"])
def test_an_invalid_stored_port_is_ignored(tmp_path: Path, written: str):
    remember(tmp_path, written)
    assert remembered_port(tmp_path) is None


def test_every_name_of_this_machine_is_an_address_of_the_server(tmp_path: Path):
    remember(tmp_path, 4321)
    for url in ("http://127.0.0.1:4321/api", "http://localhost:4321/api", "http://[::1]:4321/api"):
        assert was_own(url, tmp_path)
    for url in ("http://127.0.0.1:4322/api", "http://prefect.lan:4321/api", "https://127.0.0.1:4321/api"):
        assert not was_own(url, tmp_path)


def client(app: Proving) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app))


async def test_a_server_proves_that_it_knows_the_password():
    async with client(Proving(_other, PASSWORD)) as asked:
        assert await knows_password(asked, "http://127.0.0.1:4200", PASSWORD)
        assert not await knows_password(asked, "http://127.0.0.1:4200", "hearth:another")


async def test_another_server_cannot_prove_it_and_is_not_sent_the_password():
    heard: list[str] = []

    async def stranger(scope, receive, send):
        heard.append(str(scope))
        await _other(scope, receive, send)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(stranger)) as asked:
        assert not await knows_password(asked, "http://127.0.0.1:4200", PASSWORD)
    assert len(heard) == 1
    assert "hush" not in heard[0]


async def test_a_proof_cannot_be_replayed():
    """Each request has its own nonce, so a recorded proof is useless."""
    answers = []

    async def overhears(scope, receive, send):
        answers.append(scope["query_string"])
        await Proving(_other, PASSWORD)(scope, receive, send)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(overhears)) as asked:
        for _ in range(2):
            assert await knows_password(asked, "http://127.0.0.1:4200", PASSWORD)
    assert answers[0] != answers[1]


async def _other(scope, receive, send):
    """What answers all other requests."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"welcome"})


OPEN = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass

HTTPServer(("127.0.0.1", int(sys.argv[1])), Answers).serve_forever()
"""


class TestServerOfAnEarlierVersion:
    """It answers everybody; it is simulated by one that does."""

    @pytest.fixture
    async def open_server(self, tmp_path: Path) -> AsyncIterator[LeasedServer]:
        spec = ServerSpec("prefect", lambda port: [sys.executable, "-c", OPEN, str(port)], "/api/health")
        server = await lease_server(spec, tmp_path, idle_seconds=600, deadline_seconds=PATIENCE)
        yield server
        server.lease.release()
        for state in local_servers(tmp_path):
            stop_server(state, wait_seconds=PATIENCE)

    async def test_a_server_in_use_is_refused_with_a_remedy(self, open_server: LeasedServer, tmp_path: Path):
        with pytest.raises(ServerError, match=r"has no password.*Run hearth down"):
            await own_server.replace_open(tmp_path)
        assert not open_server.has_ended()

    async def test_an_unused_server_is_stopped(self, open_server: LeasedServer, tmp_path: Path):
        open_server.lease.release()
        await until_async(lambda: next(local_servers(tmp_path)).stops_at is not None)
        await own_server.replace_open(tmp_path)
        assert open_server.has_ended()
        assert list(local_servers(tmp_path)) == []

    async def test_a_server_that_does_not_know_the_password_is_not_sent_it(self, open_server: LeasedServer):
        with pytest.raises(ServerError, match="another password"):
            await own_server.check_password(open_server, PASSWORD)
