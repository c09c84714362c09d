"""The fault proxy changes a connection as its fault says, and no other one."""

from __future__ import annotations

import json
import time
from contextlib import suppress

import pytest

from tests.faults.proxied import connected, got, until_reset
from tests.faults.wire_faults import GENERATE, Kind
from tests.support.ollama.scripted import ScriptedOllama
from tests.support.waiting import until

VERSION = b"GET /api/version HTTP/1.1\r\nHost: it\r\n\r\n"


def test_without_a_fault_everything_passes_unchanged_on_one_connection(server: ScriptedOllama, proxied):
    proxy = proxied()
    with connected(proxy) as connection:
        first, second, version = got(connection), got(connection), got(connection, VERSION)
    assert first[1] == second[1] == b'{"response": "Hello.", "done": true}'
    assert json.loads(version[1])["version"] == "0.33.0"
    assert [(call.status, call.delivered) for call in proxy.calls] == [(200, True)] * 3
    assert [path for path, _ in server.calls] == [GENERATE, GENERATE, "/api/version"]
    assert server.headers[0]["host"] == "it"


def test_refused_resets_the_connection_and_then_stops_listening(server: ScriptedOllama, proxied):
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


def test_a_reset_in_the_headers_happens_in_the_middle_of_them(server: ScriptedOllama, proxied):
    with connected(proxied(Kind.RESET_HEADERS)) as connection:
        data = until_reset(connection)
    assert data.startswith(b"HTTP/1.1 200")
    assert b"\r\n\r\n" not in data
    assert len(server.calls) == 1


def test_a_reset_in_the_body_happens_in_the_middle_of_it(proxied):
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
def test_an_error_is_returned_without_a_request_to_the_server(server, proxied, kind, status, text):
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


def test_an_empty_answer_is_http_200_and_keeps_the_connection(proxied):
    with connected(proxied(Kind.EMPTY)) as connection:
        head, body = got(connection)
        assert got(connection)[1]
    assert head.startswith(b"HTTP/1.1 200")
    assert body == b""


def test_cut_json_is_half_of_the_json_in_a_complete_http_response(proxied):
    with connected(proxied(Kind.CUT_JSON)) as connection:
        _, body = got(connection)
        assert got(connection)[1].startswith(body)
    assert body
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        json.loads(body)
