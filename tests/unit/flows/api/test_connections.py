"""Limits of connections, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest
import uvicorn

from flows.api import connections
from flows.api.connections import limited_protocol
from tests.support.waiting import PATIENCE, until_async

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@dataclass
class Served:
    """A server of an application that answers `served`, at /held when it is let go, and at /long with 50 MB."""

    port: int = 0
    held: int = 0
    let_go: asyncio.Event = field(default_factory=asyncio.Event)
    opened: list[asyncio.StreamWriter] = field(default_factory=list)

    async def __call__(self, scope, receive, send) -> None:
        if scope["path"] == "/held":
            self.held += 1
            await self.let_go.wait()
        body = bytes(50_000_000) if scope["path"] == "/long" else b"served"
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for at in range(0, len(body), 100_000):
            await send({"type": "http.response.body", "body": body[at : at + 100_000], "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def open(self, *sent: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.opened.append(writer)
        for each in sent:
            writer.write(each)
        return reader, writer

    async def said(self, *sent: bytes) -> bytes:
        """All that the server says until it closes the connection."""
        reader, _ = await self.open(*sent)
        return await _all_of(reader)


async def _all_of(reader: asyncio.StreamReader) -> bytes:
    received = b""
    with contextlib.suppress(ConnectionResetError):  # of one who still sends: what came before counts
        while chunk := await asyncio.wait_for(reader.read(65_536), PATIENCE):
            received += chunk
    return received


Serving = Callable[..., Awaitable[tuple[Served, uvicorn.Server]]]


@pytest.fixture
async def serving() -> AsyncIterator[Serving]:
    running: list[tuple[Served, uvicorn.Server, asyncio.Task[None]]] = []

    async def start(most: int = 8, head_seconds: float = PATIENCE) -> tuple[Served, uvicorn.Server]:
        app = Served()
        config = uvicorn.Config(
            app,
            host="127.0.0.1",
            port=0,
            http=limited_protocol(most, head_seconds),
            ws="none",
            lifespan="off",
            log_level="error",
        )
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve())
        await until_async(lambda: server.started)
        app.port = server.servers[0].sockets[0].getsockname()[1]
        running.append((app, server, task))
        return app, server

    yield start
    for app, server, task in running:
        app.let_go.set()
        for writer in app.opened:
            writer.close()
        server.should_exit = True
        await asyncio.wait_for(task, PATIENCE)


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: "], ids=["silent", "half a head"])
async def test_a_connection_without_a_request_is_closed(serving: Serving, sent: bytes):
    served, _ = await serving(head_seconds=0.1)
    said = await served.said(sent)
    assert said.startswith(b"HTTP/1.1 408 ") == bool(sent)


async def test_a_head_that_arrives_too_slowly_is_refused(serving: Serving):
    served, _ = await serving(head_seconds=0.2)
    reader, writer = await served.open(b"GET / HTTP/1.1\r\n")
    closed = asyncio.create_task(_all_of(reader))
    while not closed.done():
        writer.write(b"X-Slow: 1\r\n")
        await asyncio.sleep(0.02)
    assert b"API_HEADER_SECONDS" in closed.result()


async def test_a_second_request_that_arrives_too_slowly_is_refused(serving: Serving):
    served, _ = await serving(head_seconds=0.2)
    said = await served.said(GET, b"GET / HTTP/1.1\r\nHost")
    assert said.startswith(b"HTTP/1.1 200 OK")
    assert b"HTTP/1.1 408 " in said


async def test_a_body_that_continues_after_the_response_is_cut_off(serving: Serving):
    served, server = await serving(head_seconds=0.2)
    reader, writer = await served.open(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
    closed = asyncio.create_task(_all_of(reader))
    while not closed.done():
        writer.write(b"a")
        await asyncio.sleep(0.02)
    assert b"served" in closed.result()
    await until_async(lambda: not server.server_state.connections)


async def test_a_response_may_take_longer_than_the_limit_of_the_head(serving: Serving):
    served, _ = await serving(head_seconds=0.1)
    reader, _ = await served.open(b"GET /held HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    await until_async(lambda: served.held)
    await asyncio.sleep(0.3)
    served.let_go.set()
    assert (await _all_of(reader)).endswith(b"served")


async def test_a_client_that_does_not_read_its_response_is_disconnected(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(connections, "UNREAD_SECONDS", 0.1)
    served, server = await serving()
    _, writer = await served.open(b"GET /long HTTP/1.1\r\nHost: a\r\n\r\n")
    writer.transport.pause_reading()
    await until_async(lambda: server.server_state.total_requests or server.server_state.tasks)
    await until_async(lambda: not server.server_state.connections)


async def test_idle_connections_are_closed_for_new_requests(serving: Serving):
    served, server = await serving(most=4)
    silent = [await served.open(b"GET / HT") for _ in range(20)]
    for _ in range(10):
        reader, _ = await served.open(GET)
        assert await asyncio.wait_for(reader.readline(), PATIENCE) == b"HTTP/1.1 200 OK\r\n"
    await until_async(lambda: len(server.server_state.connections) <= 4)
    assert [await _all_of(reader) for reader, _ in silent[:10]] == [b""] * 10


async def test_a_connection_beyond_the_limit_is_told_to_retry_later(serving: Serving):
    served, _ = await serving(most=2)
    for number in range(2):
        await served.open(b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n")
        await until_async(lambda number=number: served.held > number)
    said = await served.said(GET)
    assert said.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 10" in said
    assert b"API_CONNECTIONS" in said


async def test_an_upgrade_does_not_bypass_the_limits(serving: Serving):
    served, server = await serving(head_seconds=0.1)
    upgrade = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    assert (await served.said(upgrade)).startswith(b"HTTP/1.1 200 OK")
    assert not server.server_state.connections
