"""A real HTTP server that answers like an Ollama and notes each request from its arrival to its end.

Like Ollama it works on `slots` requests at once and holds all others without limit: what clients send at once and
what is worked on at once are told apart. Runs are told apart by the keep_alive of their requests, `run_settings`.
"""

from __future__ import annotations

import asyncio
import base64
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from tests.benchmarks.page_times import number_of
from tests.support.in_thread import in_thread
from tests.support.ollama.wire import AT_REST, LOADED, Body, page_answer

_RUN_BASE = 1000
_LOOK_SECONDS = 0.02
_REFUSALS = {
    503: "server busy, please try again. maximum pending requests exceeded",
    500: "llama runner process has terminated: cudaMalloc failed: out of memory",
}


@dataclass
class Note:
    """One request for text. Seconds are of the monotonic clock.

    Attributes:
        run: whose it is.
        page: which one; 0 for what is no page, such as a measurement of the warm-up.
        received: when it was there.
        started: when it was worked on; None: never.
        ended: when its answer went out, or its client went; None: it has not ended.
        status: of the answer; 0: the client went first.
    """

    run: int
    page: int
    received: float
    started: float | None = None
    ended: float | None = None
    status: int = 0


@dataclass
class CountingOllama:
    """The server. All but `url` may be changed while it serves.

    Attributes:
        slots: requests that it works on at once; what it starts with holds.
        seconds: that a page takes, by its number.
        probe_seconds: that what is no page takes.
        refuses: the status with which a page is refused, by how many requests it holds with this one; 0: it is not.
        stuck: pages that do not end while they are in here.
        holds: whether a request for a page does not end yet.
        exact: the durations that it tells are what pages should take, whatever holding and the machine make of it.
        open: while it is not set, whoever asks for the version waits, and so do runs that are about to warm up.
        notes: of all requests for text, in the order of arrival.
        loaded: when each run's model was loaded last.
    """

    slots: int
    seconds: Callable[[int], float] = lambda _page: 0.5
    probe_seconds: float = 0.3
    refuses: Callable[[int], int] = lambda _held: 0
    stuck: set[int] = field(default_factory=set)
    holds: Callable[[Note], bool] = lambda _note: False
    exact: bool = False
    open: threading.Event = field(default_factory=threading.Event)
    notes: list[Note] = field(default_factory=list)
    loaded: dict[int, float] = field(default_factory=dict)
    waiting: int = 0
    url: str = ""

    def __post_init__(self) -> None:
        self._free = asyncio.Semaphore(self.slots)
        self.open.set()

    @property
    def pages(self) -> list[Note]:
        """The requests for pages."""
        return [note for note in self.notes if note.page]

    @property
    def held(self) -> int:
        """The number of requests for text in progress."""
        return sum(note.ended is None for note in self.notes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application."""
        request = Request(scope, receive)
        body = await request.json() if scope["method"] == "POST" else {}
        if scope["path"] == "/api/generate" and body["prompt"]:
            await self._read(body, receive, send, scope)
        else:
            await JSONResponse(await self._other(scope["path"], body))(scope, receive, send)

    async def _other(self, path: str, body: Body) -> Body:
        if path == "/api/version":
            self.waiting += 1
            while not self.open.is_set():
                await asyncio.sleep(_LOOK_SECONDS)
            self.waiting -= 1
        elif path == "/api/generate":
            self.loaded[_run_of(body)] = time.monotonic()
            return LOADED
        return AT_REST[path]

    async def _read(self, body: Body, receive: Receive, send: Send, scope: Scope) -> None:
        note = Note(_run_of(body), number_of(base64.b64decode(body["images"][0])), time.monotonic())
        self.notes.append(note)
        if note.page and (refused := self.refuses(self.held)):
            note.ended, note.status = time.monotonic(), refused
            await JSONResponse({"error": _REFUSALS[refused]}, refused)(scope, receive, send)
            return
        work = asyncio.ensure_future(self._worked_on(note))
        gone = asyncio.ensure_future(receive())  # what comes next is the client's going
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # Before the answer goes out, so that a request that follows it is never counted beside this one.
            note.ended = note.ended or time.monotonic()
            gone.cancel()
            work.cancel()
        if work.done():
            note.status = 200
            await JSONResponse(work.result())(scope, receive, send)

    async def _worked_on(self, note: Note) -> Body:
        async with self._free:
            note.started = time.monotonic()
            while note.page in self.stuck:
                await asyncio.sleep(_LOOK_SECONDS)
            while note.page and self.holds(note):
                await asyncio.sleep(_LOOK_SECONDS)
            await asyncio.sleep(self.seconds(note.page) if note.page else self.probe_seconds)
            note.ended = time.monotonic()
        took, waited = (round((note.ended - since) * 1e9) for since in (note.started, note.received))
        if self.exact and note.page:
            took = waited = round(self.seconds(note.page) * 1e9)
        return page_answer(
            f"The text of page {note.page}.",
            created_at=datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            load_duration=0,
            total_duration=waited,
            prompt_eval_duration=took // 4,
            eval_duration=took - took // 4,
        )


def run_settings(run: int) -> dict[str, str]:
    """Return the environment that marks a command's requests as the run's."""
    return {"HEARTH_IDLE_MINUTES": str((_RUN_BASE + run - 0.5) / 60)}


def _run_of(body: Body) -> int:
    return int(body["keep_alive"].removesuffix("s")) - _RUN_BASE


def steps(spans: Iterable[tuple[float, float | None]]) -> list[tuple[float, int]]:
    """Return the number of concurrent spans from each moment at which it changes."""
    changes: list[tuple[float, int]] = []
    for start, end in spans:
        changes.append((start, 1))
        if end is not None:
            changes.append((end, -1))
    now, told = 0, []
    for moment, change in sorted(changes):
        now += change
        told.append((moment, now))
    return told


def sent(notes: Iterable[Note]) -> list[tuple[float, float | None]]:
    """Return the spans in which the requests were in flight."""
    return [(note.received, note.ended) for note in notes]


def worked_on(notes: Iterable[Note]) -> list[tuple[float, float | None]]:
    """Return the spans in which the requests had a slot."""
    return [(note.started, note.ended) for note in notes if note.started is not None]


def most(spans: Iterable[tuple[float, float | None]]) -> int:
    """Return the maximum number of concurrent spans."""
    return max((now for _, now in steps(spans)), default=0)


def seconds_within(spans: Iterable[tuple[float, float | None]], start: float, end: float) -> float:
    """Return the total length of all spans between two moments."""
    return sum(max(0.0, min(end, end if to is None else to) - max(start, since)) for since, to in spans)


@contextmanager
def counting_ollama(slots: int, seconds: float | Callable[[int], float] = 0.5) -> Iterator[CountingOllama]:
    """Yield a counting server on a free port of this machine, in a thread."""
    app = CountingOllama(slots, seconds if callable(seconds) else lambda _page: seconds)
    with in_thread(app):
        try:
            yield app
        finally:
            app.open.set()
