"""The socket of a sandboxed process, from inside."""

import json
import socket
from typing import Any

from tasks.documents.wire import HEAD, packed


class Channel:
    """The socket for requests and responses."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)

    def receive(self) -> tuple[dict[str, Any], int | None]:
        """Wait for a message, and return it with its descriptor, if any.

        Raises:
            EOFError: the other side has closed the socket.
        """
        head, descriptors, _, _ = socket.recv_fds(self._socket, HEAD.size, 1)
        head += self.exactly(HEAD.size - len(head))
        message: dict[str, Any] = json.loads(self.exactly(*HEAD.unpack(head)))
        return message, descriptors[0] if descriptors else None

    def exactly(self, size: int) -> bytes:
        """Return so many bytes that follow.

        Raises:
            EOFError: the other side has closed the socket.
        """
        received = self._socket.recv(size, socket.MSG_WAITALL)
        if len(received) < size:
            raise EOFError
        return received

    def send(self, header: dict[str, Any], *data: bytes) -> None:
        """Send a response and the bytes that follow it."""
        for part in (packed(header), *data):
            self._socket.sendall(part)
