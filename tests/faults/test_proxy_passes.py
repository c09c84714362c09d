"""The fault proxy forwards responses: slowly, in pieces, twice, and interrupted by server or client."""

from __future__ import annotations

import base64
import json
import socket
import time
from collections.abc import Callable
from contextlib import closing, suppress

import pytest

from tests.faults.marks import Page
from tests.faults.proxied import REQUEST, connected, got, received, until_reset
from tests.faults.proxy import fault_proxy
from tests.faults.wire_faults import GENERATE, HARMLESS, Kind
from tests.support.ollama.scripted import Say, cut, says
from tests.support.ollama.wire import Body
from tests.support.waiting import PATIENCE, until, until_async


@pytest.mark.parametrize("kind", Kind)
def test_only_a_complete_answer_counts_as_delivered(proxied, kind):
    proxy = proxied(kind, 0.05)
    with connected(proxy) as connection, suppress(ConnectionResetError, EOFError, IndexError):
        got(connection)
    assert proxy.calls[0].delivered == (kind in HARMLESS)


@pytest.mark.parametrize("kind", [Kind.DRIP, Kind.LATENCY])
def test_a_slow_answer_is_complete(proxied, kind):
    with connected(proxied(kind, 0.4)) as connection:
        started = time.monotonic()
        assert json.loads(got(connection)[1])["response"] == "Hello."
        assert time.monotonic() - started >= 0.35
        assert json.loads(got(connection)[1])["response"] == "Hello."


def test_a_drip_arrives_in_many_pieces(proxied):
    with connected(proxied(Kind.DRIP, PATIENCE)) as connection:
        connection.sendall(REQUEST)
        first = received(connection)
    assert first.startswith(b"HTTP/1.1")
    assert b"\r\n\r\n" not in first


def test_a_doubled_request_reaches_the_server_twice_and_the_client_gets_one_answer(server, proxied):
    proxy = proxied(Kind.ASKED_TWICE)
    server.answers(GENERATE, says(response="first", done=True), says(response="second", done=True))
    with connected(proxy) as connection:
        assert json.loads(got(connection)[1])["response"] == "second"
    assert len(server.calls) == proxy.calls[0].reached == 2


@pytest.mark.parametrize("seconds", [0.0, 0.1])
def test_a_doubled_answer_repeats_the_same_bytes(server, proxied, seconds):
    with connected(proxied(Kind.ANSWERED_TWICE, seconds)) as connection:
        head, body = got(connection)
        again = body[len(b'{"response": "Hello.", "done": true}') :]
        whole = head + b"\r\n\r\n" + body[: len(body) - len(again)]
        while len(again) < len(whole):
            again += received(connection)
    assert again == whole
    assert len(server.calls) == 1


def test_a_client_that_disconnects_is_noticed(server, proxied):
    proxy = proxied()

    async def never(_: Body) -> Say:
        await until_async(lambda: proxy.calls[0].left)
        return says(response="x", done=True)

    server.answers(GENERATE, never)
    with connected(proxy) as connection:
        connection.sendall(REQUEST)
        until(lambda: server.calls)
    until(lambda: proxy.calls[0].left)


def test_a_missing_server_is_a_reset():
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    with fault_proxy(f"http://127.0.0.1:{port}") as proxy, connected(proxy) as connection:
        assert until_reset(connection) == b""


def test_an_answer_that_the_server_interrupts_is_a_reset(server, proxied):
    proxy = proxied()
    server.answers(GENERATE, cut())
    with connected(proxy) as connection:
        assert until_reset(connection) == b""


def test_streams_pass(server, proxied):
    pull = b"POST /api/pull HTTP/1.1\r\nHost: it\r\nContent-Length: 2\r\n\r\n{}"
    with connected(proxied()) as connection:
        assert b"success" in got(connection, pull)[1]


def test_simultaneous_requests_are_counted(server, proxied, page_request):
    proxy = proxied()

    async def when_all_are_there(_: Body) -> Say:
        await until_async(lambda: proxy.pages_at_once == 3)
        return says(response="x", done=True)

    server.answers(GENERATE, when_all_are_there)
    with connected(proxy) as one, connected(proxy) as two, connected(proxy) as three:
        for connection in (one, two, three):
            connection.sendall(page_request(Page(1, 1)))
        for connection in (one, two, three):
            received(connection)
        got(one, page_request(Page(1, 2)))
    assert proxy.pages_at_once == 3
    assert [call.nth for call in proxy.asked(Page(1, 1))] == [1, 2, 3]
    assert len(proxy.asked()) == 4


@pytest.fixture(scope="module")
def page_request(tmp_path_factory) -> Callable[[Page], bytes]:
    """The request for a page."""
    from tests.faults.test_marks import image_of

    def request(page: Page) -> bytes:
        image = base64.b64encode(image_of(tmp_path_factory.mktemp("page"), page)).decode()
        body = json.dumps({"prompt": "Read.", "images": [image]}).encode()
        return b"POST /api/generate HTTP/1.1\r\nHost: it\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)

    return request
