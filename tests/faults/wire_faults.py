"""What a fault is, plans of which request gets which, and what each makes of an answer."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from tests.faults.marks import Page

GENERATE = "/api/generate"
PAUSE_S = 0.02
"""Before a reset, so that what was sent earlier has been received."""

_PIECES = 10


class Kind(StrEnum):
    """What becomes of a request. Those from RESET_HEADERS on reach the server first, which does the work."""

    REFUSED = "refused"
    """Reset at once; for `seconds` nobody listens."""
    HANG = "hang"
    """Nothing comes back for `seconds`, then a reset."""
    BUSY = "busy"
    """HTTP 503, as of a full queue."""
    OUT_OF_MEMORY = "out of memory"
    """HTTP 500 with CUDA's words."""
    RUNNER_DIED = "runner died"
    """HTTP 500 with Ollama's words."""
    WRONG_SHAPE = "wrong shape"
    """HTTP 200 and JSON, but not an answer."""
    LATENCY = "latency"
    """Forwarded after `seconds`."""
    RESET_HEADERS = "reset in the headers"
    RESET_BODY = "reset in the body"
    EMPTY = "empty"
    """HTTP 200 and a body of no bytes."""
    CUT_JSON = "cut JSON"
    """Half of the body under a Content-Length that is right for it."""
    DRIP = "drip"
    """The right answer, in pieces over `seconds`."""
    ASKED_TWICE = "asked twice"
    """The server gets the request a second time."""
    ANSWERED_TWICE = "answered twice"
    """The client gets the answer a second time, `seconds` after the first."""


HARMLESS = {Kind.LATENCY, Kind.DRIP, Kind.ASKED_TWICE, Kind.ANSWERED_TWICE}
"""Those after which the right answer is there, if the client waits for it."""


@dataclass(frozen=True)
class Fault:
    """A kind, and how long it takes where it takes a while."""

    kind: Kind
    seconds: float = 0.0


@dataclass
class Call:
    """A request that came.

    Attributes:
        page: which it shows, if any.
        nth: how often this page, or for what shows none this path, was asked for until then, this time included.
        fault: what was done to it.
        reached: how often the server got it.
        status: HTTP status that the server answered with; None if none came.
        left: the client went away before the answer was there.
        delivered: the right answer was sent, to its end.
    """

    path: str
    page: Page | None
    nth: int
    at: float
    fault: Fault | None = None
    reached: int = 0
    status: int | None = None
    left: bool = False
    delivered: bool = False


Plan = Callable[[Call], Fault | None]


def nothing(_: Call) -> Fault | None:
    """The plan of a proxy that only forwards."""
    return None


def listed(faults: Mapping[Page, Sequence[Fault]]) -> Plan:
    """The n-th request for a page gets the n-th fault of its list, and none when that has ended."""

    def plan(call: Call) -> Fault | None:
        of = faults.get(call.page, ()) if call.page else ()
        return of[call.nth - 1] if call.nth <= len(of) else None

    return plan


def nth(path: str, faults: Mapping[int, Fault]) -> Plan:
    """The n-th request to a path, whatever it shows, gets the fault of that number. A plan has its own count."""
    count = 0

    def plan(call: Call) -> Fault | None:
        nonlocal count
        count += call.path == path
        return faults.get(count) if call.path == path else None

    return plan


def seeded(seed: object, share: float, faults: Sequence[Fault]) -> Plan:
    """A share of all requests gets one of the faults; the n-th for a page or path always the same."""

    def plan(call: Call) -> Fault | None:
        chance = random.Random(f"{seed} {call.path} {call.page} {call.nth}")
        return chance.choice(faults) if chance.random() < share else None

    return plan


def broken(fault: Fault, head: bytes, body: bytes) -> Iterator[tuple[bytes | None, float]]:
    """What the client gets of an answer, piece by piece, and the pause after each; None is a reset."""
    if fault.kind is Kind.RESET_HEADERS:
        yield head[: len(head) // 2], PAUSE_S
        yield None, 0.0
    elif fault.kind is Kind.RESET_BODY:
        yield head + body[: len(body) // 2], PAUSE_S
        yield None, 0.0
    elif fault.kind is Kind.EMPTY:
        yield _said(200, b""), 0.0
    elif fault.kind is Kind.CUT_JSON:
        yield _said(200, body[: len(body) // 2]), 0.0
    elif fault.kind is Kind.DRIP:
        whole = head + body
        size = len(whole) // _PIECES + 1
        for place in range(0, len(whole), size):
            yield whole[place : place + size], fault.seconds / _PIECES
    elif fault.kind is Kind.ANSWERED_TWICE and fault.seconds:
        yield head + body, fault.seconds
        yield head + body, 0.0
    elif fault.kind is Kind.ANSWERED_TWICE:
        yield (head + body) * 2, 0.0
    else:
        yield head + body, 0.0


def _said(status: int, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status} Simulated\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


SAID = {
    Kind.BUSY: _said(503, b'{"error":"server busy, please try again.  maximum pending requests exceeded"}'),
    Kind.OUT_OF_MEMORY: _said(500, b'{"error":"cudaMalloc failed: out of memory"}'),
    Kind.RUNNER_DIED: _said(500, b'{"error":"llama runner process has terminated: exit status 2"}'),
    Kind.WRONG_SHAPE: _said(200, json.dumps({"choices": [{"text": "Another API's."}], "done": "perhaps"}).encode()),
}
