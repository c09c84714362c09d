"""Limits of HTTP connections: their number, the time for a request's head, and the time to read a response.

Uvicorn has no time limit for the head of a request, nor for data that a client sends after its response. It counts idle
connections like active ones, so a few hundred of them lock all others out.
"""

import asyncio
import json
from typing import Any

import h11
from starlette.responses import JSONResponse
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol

UNREAD_SECONDS = 60.0
_CLOSING_SECONDS = 5.0
_BUSY = JSONResponse(
    {"detail": "Too many connections are open (API_CONNECTIONS). Send the request again later."},
    503,
    {"Retry-After": "10", "Connection": "close"},
)
_SLOW = {"detail": "The head of the request did not arrive in time (API_HEADER_SECONDS). Send it again."}


class LimitedProtocol(H11Protocol):
    """A connection that is closed if the client takes too long to send a request or to read a response.

    A subclass sets the limits, because uvicorn creates the instances.
    """

    most: int
    head_seconds: float

    def __init__(self, config: Config, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - uvicorn's
        super().__init__(config, *args, **kwargs)
        self._head_timer: asyncio.TimerHandle | None = None
        self._read_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's
        """Accept a connection; if there are too many, close the one that has been idle longest."""
        super().connection_made(transport)
        self._watch()
        if len(self.connections) <= self.most:
            return
        idle = [other for other in self.connections if isinstance(other, LimitedProtocol) and other.is_idle]
        oldest = min(idle, key=lambda other: other.head_deadline, default=self)
        if oldest is not self:
            oldest.transport.abort()
        elif len(self.connections) > 2 * self.most:
            transport.abort()
        else:
            self.app = _BUSY

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timers of a closed connection."""
        self._stop_head_timer()
        self._stop_read_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read a request."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._watch()

    def pause_writing(self) -> None:
        """Limit the time for which a client may leave its response unread."""
        super().pause_writing()
        if self._read_timer is None:
            self._read_timer = self.loop.call_later(UNREAD_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Continue a response."""
        self._stop_read_timer()
        super().resume_writing()

    @property
    def is_idle(self) -> bool:
        """Whether no request is being served."""
        return self._head_timer is not None and not self.transport.is_closing()

    @property
    def head_deadline(self) -> float:
        """Time at which the head of the next request must have arrived, on the loop's clock."""
        return self._head_timer.when() if self._head_timer is not None else float("inf")

    def _watch(self) -> None:
        """Run the timer while no request is being served, even if the client sends other data."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_head_timer()
        elif self._head_timer is None and not self.transport.is_closing():
            self._head_timer = self.loop.call_later(self.head_seconds, self._too_slow)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_read_timer(self) -> None:
        if self._read_timer is not None:
            self._read_timer.cancel()
            self._read_timer = None

    def _too_slow(self) -> None:
        if self.transport.is_closing():
            return
        if self.conn.our_state is h11.IDLE and self.conn.trailing_data[0]:
            self.transport.write(_response(408, "Request Timeout", _SLOW))
        self.transport.close()
        self.loop.call_later(_CLOSING_SECONDS, self.transport.abort)  # unread data must not keep it open


def limited_protocol(most: int, head_seconds: float) -> type[LimitedProtocol]:
    """Return the protocol with limits of parallel connections, and of the time until a request's head is complete."""
    return type("Limited", (LimitedProtocol,), {"most": most, "head_seconds": head_seconds})


def _response(status: int, reason: str, content: dict[str, str]) -> bytes:
    body = json.dumps(content).encode()
    head = f"HTTP/1.1 {status} {reason}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Connection: close\r\n\r\n".encode() + body
