"""Connections through the fault proxy."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from tests.faults.proxy import FaultProxy
from tests.support.waiting import PATIENCE

REQUEST = b"POST /api/generate HTTP/1.1\r\nHost: it\r\nContent-Length: 2\r\n\r\n{}"


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
