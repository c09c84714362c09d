"""Servers that refuse a request of the programs that have only the standard library."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from infra_scripts.machine import aws
from infra_scripts.trigger import handler
from tests.support.waiting import PATIENCE

SAID = b'{"detail": "not now"}'


@contextmanager
def refusing() -> Iterator[tuple[str, Callable[[], bytes]]]:
    """The address of a server that refuses one request, and what waits for the rest that its client sends."""
    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor(1) as pool:

        def refuse() -> socket.socket:
            connection, _ = listening.accept()
            connection.settimeout(PATIENCE)
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: %d\r\n\r\n%s" % (len(SAID), SAID))
            return connection

        connected = pool.submit(refuse)

        def rest() -> bytes:
            with connected.result() as connection:
                return connection.recv(65536)

        yield f"http://127.0.0.1:{listening.getsockname()[1]}", rest


def test_a_machine_closes_the_connection_and_keeps_what_was_said():
    with refusing() as (url, rest):
        with pytest.raises(aws.RefusedError, match="HTTP 503 Service Unavailable") as caught:
            aws.http(url)
        assert rest() == b""
        assert (caught.value.status, caught.value.body) == (503, SAID)


def test_the_trigger_closes_the_connection_to_prefect(monkeypatch: pytest.MonkeyPatch):
    with refusing() as (url, rest):
        monkeypatch.setenv("PREFECT_API_URL", url)
        with pytest.raises(handler.TriggerError, match="Prefect answers 503") as caught:
            handler.call_prefect("GET", "/deployments")
        assert rest() == b""
        assert caught.value.__context__ is not None  # what holds the answer is alive
