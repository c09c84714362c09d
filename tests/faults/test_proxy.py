"""The fault proxy does to a connection what its faults say, and to all others nothing."""

from __future__ import annotations

import base64
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress

import pytest

from tests.faults.marks import Page
from tests.faults.proxy import FaultProxy, fault_proxy
from tests.faults.wire_faults import GENERATE, HARMLESS, Fault, Kind, Plan, nth
from tests.support.ollama.scripted import Say, ScriptedOllama, cut, says
from tests.support.ollama.wire import Body
from tests.support.waiting import PATIENCE, until, until_async

REQUEST = b"POST /api/generate HTTP/1.1\r\nHost: it\r\nContent-Length: 2\r\n\r\n{}"
VERSION = b"GET /api/version HTTP/1.1\r\nHost: it\r\n\r\n"


@pytest.fixture
def proxied(server: ScriptedOllama) -> Iterator[Callable[..., FaultProxy]]:
    """A proxy before the scripted server; the first request to /api/generate gets the fault."""
    server.answers(GENERATE, says(response="Hello.", done=True))
    with fault_proxy(server.url) as proxy:

        def made(kind: Kind | None = None, seconds: float = 0.0, plan: Plan | None = None) -> FaultProxy:
            proxy.plan = plan or nth(GENERATE, {1: Fault(kind, seconds)} if kind else {})
            return proxy

        yield made


@contextmanager
def connected(proxy: FaultProxy) -> Iterator[socket.socket]:
    address, port = proxy.url.removeprefix("http://").split(":")
    with socket.create_connection((address, int(port)), timeout=PATIENCE) as connection:
        yield connection


def got(connection: socket.socket, request: bytes = REQUEST) -> tuple[bytes, bytes]:
    """Head and body of the answer to a request."""
    connection.sendall(request)
    data = b""
    while b"\r\n\r\n" not in data:
        data += received(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    while len(body) < length:
        body += received(connection)
    return head, body


def received(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise EOFError
    return data


def until_reset(connection: socket.socket) -> bytes:
    """What comes until the connection is reset; EOFError if it is closed in order."""
    connection.sendall(REQUEST)
    data = b""
    try:
        while True:
            data += received(connection)
    except ConnectionResetError:
        return data


def test_what_has_no_fault_passes_byte_for_byte_on_one_connection(server: ScriptedOllama, proxied):
    proxy = proxied()
    with connected(proxy) as connection:
        first, second, version = got(connection), got(connection), got(connection, VERSION)
    assert first[1] == second[1] == b'{"response": "Hello.", "done": true}'
    assert json.loads(version[1])["version"] == "0.33.0"
    assert [(call.status, call.delivered) for call in proxy.calls] == [(200, True)] * 3
    assert [path for path, _ in server.calls] == [GENERATE, GENERATE, "/api/version"]
    assert server.headers[0]["host"] == "it"


def test_refused_is_a_reset_and_then_nobody_listens(server: ScriptedOllama, proxied):
    proxy = proxied(Kind.REFUSED, 3600)
    with connected(proxy) as connection:
        assert until_reset(connection) == b""
    with pytest.raises(ConnectionRefusedError), connected(proxy):
        pass
    assert server.calls == []


def test_after_a_refusal_it_listens_again(server: ScriptedOllama, proxied):
    proxy = proxied(Kind.REFUSED, 0.05)
    with connected(proxy) as connection:
        assert until_reset(connection) == b""

    def answered() -> bool:
        with suppress(ConnectionRefusedError), connected(proxy) as connection:
            return got(connection)[0].startswith(b"HTTP/1.1 200")
        return False

    until(answered)
    assert len(server.calls) == 1


def test_a_reset_in_the_headers_comes_in_the_middle_of_them(server: ScriptedOllama, proxied):
    with connected(proxied(Kind.RESET_HEADERS)) as connection:
        data = until_reset(connection)
    assert data.startswith(b"HTTP/1.1 200")
    assert b"\r\n\r\n" not in data
    assert len(server.calls) == 1


def test_a_reset_in_the_body_comes_in_the_middle_of_it(proxied):
    with connected(proxied(Kind.RESET_BODY)) as connection:
        _, end, body = until_reset(connection).partition(b"\r\n\r\n")
    assert end
    assert body == b'{"response": "Hello'[: len(body)] != b""


def test_a_hang_sends_nothing_and_then_resets(server: ScriptedOllama, proxied):
    with connected(proxied(Kind.HANG, 0.4)) as connection:
        started = time.monotonic()
        assert until_reset(connection) == b""
    assert time.monotonic() - started >= 0.4
    assert server.calls == []


@pytest.mark.parametrize(
    ("kind", "status", "text"),
    [
        (Kind.BUSY, 503, "server busy"),
        (Kind.OUT_OF_MEMORY, 500, "cudaMalloc failed: out of memory"),
        (Kind.RUNNER_DIED, 500, "llama runner process has terminated"),
    ],
)
def test_an_error_comes_in_the_server_s_name_which_is_not_asked(server, proxied, kind, status, text):
    with connected(proxied(kind)) as connection:
        head, body = got(connection)
        assert got(connection)[0].startswith(b"HTTP/1.1 200")
    assert head.startswith(f"HTTP/1.1 {status}".encode())
    assert text in json.loads(body)["error"]
    assert len(server.calls) == 1


def test_the_wrong_shape_is_json_without_an_answer(proxied):
    with connected(proxied(Kind.WRONG_SHAPE)) as connection:
        head, body = got(connection)
    assert head.startswith(b"HTTP/1.1 200")
    assert "response" not in json.loads(body)


def test_an_empty_answer_is_http_200_and_the_connection_stays(proxied):
    with connected(proxied(Kind.EMPTY)) as connection:
        head, body = got(connection)
        assert got(connection)[1]
    assert head.startswith(b"HTTP/1.1 200")
    assert body == b""


def test_cut_json_is_half_of_it_in_a_whole_http_answer(proxied):
    with connected(proxied(Kind.CUT_JSON)) as connection:
        _, body = got(connection)
        assert got(connection)[1].startswith(body)
    assert body
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        json.loads(body)


@pytest.mark.parametrize("kind", Kind)
def test_only_the_right_answer_counts_as_delivered(proxied, kind):
    proxy = proxied(kind, 0.05)
    with connected(proxy) as connection, suppress(ConnectionResetError, EOFError, IndexError):
        got(connection)
    assert proxy.calls[0].delivered == (kind in HARMLESS)


@pytest.mark.parametrize("kind", [Kind.DRIP, Kind.LATENCY])
def test_a_slow_answer_is_the_right_one(proxied, kind):
    with connected(proxied(kind, 0.4)) as connection:
        started = time.monotonic()
        assert json.loads(got(connection)[1])["response"] == "Hello."
        assert time.monotonic() - started >= 0.35
        assert json.loads(got(connection)[1])["response"] == "Hello."


def test_a_drip_comes_in_many_pieces(proxied):
    with connected(proxied(Kind.DRIP, 0.5)) as connection:
        connection.sendall(REQUEST)
        first = received(connection)
    assert first.startswith(b"HTTP/1.1")
    assert b"\r\n\r\n" not in first


def test_asked_twice_the_server_is_asked_twice_and_the_client_answered_once(server, proxied):
    proxy = proxied(Kind.ASKED_TWICE)
    server.answers(GENERATE, says(response="first", done=True), says(response="second", done=True))
    with connected(proxy) as connection:
        assert json.loads(got(connection)[1])["response"] == "second"
    assert len(server.calls) == proxy.calls[0].reached == 2


@pytest.mark.parametrize("seconds", [0.0, 0.1])
def test_answered_twice_the_same_bytes_come_again(server, proxied, seconds):
    with connected(proxied(Kind.ANSWERED_TWICE, seconds)) as connection:
        head, body = got(connection)
        again = body[len(b'{"response": "Hello.", "done": true}') :]
        whole = head + b"\r\n\r\n" + body[: len(body) - len(again)]
        while len(again) < len(whole):
            again += received(connection)
    assert again == whole
    assert len(server.calls) == 1


def test_a_client_that_leaves_is_seen_to_leave(server, proxied):
    proxy = proxied()

    async def never(_: Body) -> Say:
        await until_async(lambda: proxy.calls[0].left)
        return says(response="x", done=True)

    server.answers(GENERATE, never)
    with connected(proxy) as connection:
        connection.sendall(REQUEST)
        until(lambda: server.calls)
    until(lambda: proxy.calls[0].left)


def test_a_server_that_has_gone_is_a_reset():
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    with fault_proxy(f"http://127.0.0.1:{port}") as proxy, connected(proxy) as connection:
        assert until_reset(connection) == b""


def test_an_answer_that_the_server_breaks_off_is_a_reset(server, proxied):
    proxy = proxied()
    server.answers(GENERATE, cut())
    with connected(proxy) as connection:
        assert until_reset(connection) == b""


def test_streams_pass(server, proxied):
    pull = b"POST /api/pull HTTP/1.1\r\nHost: it\r\nContent-Length: 2\r\n\r\n{}"
    with connected(proxied()) as connection:
        assert b"success" in got(connection, pull)[1]


def test_what_is_with_the_proxy_at_one_moment_is_counted(server, proxied, page_request):
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
