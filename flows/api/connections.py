"""HTTP connections with limits: how many there are, how long a request's head takes, how slowly a response is taken.

Uvicorn has no limit of time for the head of a request, nor for what a client sends after its response; and it counts
connections that say nothing like those at work, so that a few hundred of them keep all others out.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import h11
from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, Scope
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol

_UNREAD_SECONDS = 60.0
_CLOSING_SECONDS = 5.0
_BUSY = {"detail": "Too many connections are open (API_CONNECTIONS). Send the request again later."}
_SLOW = {"detail": "The head of the request did not come in time (API_HEADER_SECONDS). Send it again."}


class LimitedProtocol(H11Protocol):
    """Connections of which none is kept that waits for a request too long.

    A subclass sets the limits, since uvicorn makes the instances.
    """

    most: int
    head_seconds: float

    def __init__(self, config: Config, *arguments: Any, **named: Any) -> None:  # noqa: ANN401 - uvicorn's
        super().__init__(config, *arguments, **named)
        self._head_by: asyncio.TimerHandle | None = None
        self._taken_by: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's
        """Take a connection; if there are too many, the one that has waited longest for a request makes room."""
        super().connection_made(transport)
        self._watch()
        if len(self.connections) <= self.most:
            return
        waiting = [each for each in self.connections if isinstance(each, LimitedProtocol) and each.waits]
        first = min(waiting, key=lambda each: each.head_by, default=self)
        if first is not self:
            first.transport.abort()
        elif len(self.connections) > 2 * self.most:
            transport.abort()
        else:
            self.app = _busy

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._stop_head()
        self._stop_taken()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._watch()

    def pause_writing(self) -> None:
        """Give a client that does not read its response some time to go on."""
        super().pause_writing()
        if self._taken_by is None:
            self._taken_by = self.loop.call_later(_UNREAD_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on."""
        self._stop_taken()
        super().resume_writing()

    @property
    def waits(self) -> bool:
        """Whether no request is being answered."""
        return self._head_by is not None and not self.transport.is_closing()

    @property
    def head_by(self) -> float:
        """When a request must have come."""
        return self._head_by.when() if self._head_by is not None else float("inf")

    def _watch(self) -> None:
        """Run the clock while no request is being answered, whatever the client sends meanwhile."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_head()
        elif self._head_by is None and not self.transport.is_closing():
            self._head_by = self.loop.call_later(self.head_seconds, self._too_slow)

    def _stop_head(self) -> None:
        if self._head_by is not None:
            self._head_by.cancel()
            self._head_by = None

    def _stop_taken(self) -> None:
        if self._taken_by is not None:
            self._taken_by.cancel()
            self._taken_by = None

    def _too_slow(self) -> None:
        if self.transport.is_closing():
            return
        if self.conn.our_state is h11.IDLE and self.conn.trailing_data[0]:
            self.transport.write(_response(408, "Request Timeout", _SLOW))
        self.transport.close()
        self.loop.call_later(_CLOSING_SECONDS, self.transport.abort)  # what is not read must not keep it


def limited(most: int, head_seconds: float) -> type[LimitedProtocol]:
    """The protocol with its limits.

    Args:
        most: connections at once.
        head_seconds: from a connection or a response to the end of the next request's head.
    """
    return type("Limited", (LimitedProtocol,), {"most": most, "head_seconds": head_seconds})


def _response(status: int, reason: str, told: dict[str, str]) -> bytes:
    body = json.dumps(told).encode()
    head = f"HTTP/1.1 {status} {reason}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Connection: close\r\n\r\n".encode() + body


async def _busy(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    del scope, receive
    headers = [(b"content-type", b"application/json"), (b"retry-after", b"10"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(_BUSY).encode(), "more_body": False})
