"""Measure a run, or a batch, while it goes on: the figures of `tasks.runs.advice`."""

from __future__ import annotations

import time
from array import array
from dataclasses import dataclass, field
from typing import NamedTuple

from tasks.backends.base import Allocation, MachineFacts
from tasks.backends.registry import BACKENDS
from tasks.core.events import Event, PagesStarted
from tasks.reading.events import PageDone
from tasks.results.page import PageSource
from tasks.results.usage import Figures, Spread
from tasks.serving.warmup import Warmth


class _Known(NamedTuple):
    """The slots of a server, and those of them that are proven."""

    slots: int
    seen: int


@dataclass
class RunStats:
    """Measures a run's times and sums; a listener. Times are monotonic seconds, those of machines since the epoch.

    Attributes:
        idle_seconds: how long a machine waits after its last use.
        longest_side: longest side of page images, pixels.
    """

    idle_seconds: float
    longest_side: int
    _started: float = 0.0
    _started_at: float = 0.0
    _waiting: float = 0.0
    _boot: float = 0.0
    _load: float = 0.0
    _warm_at: float | None = None
    _from: float | None = None
    _to: float = 0.0
    _slots: int = 1
    _known: dict[str, _Known] = field(default_factory=dict)
    _more_slots: bool = False
    _read: int = 0
    _page_seconds: float = 0.0
    _again_seconds: float = 0.0
    _image_seconds: float = 0.0
    _first_seconds: array[float] = field(default_factory=lambda: array("d"))
    _machines: list[tuple[MachineFacts, float, bool]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin to measure."""
        self._started, self._started_at = time.monotonic(), time.time()

    def warmed(self, allocation: Allocation, warmth: Warmth) -> None:
        """Take note that a server is warm, or of what its pages show. The run waited for the start of the first one."""
        measured, replicas = warmth.measured, allocation.replicas.count
        # A model that serves one request at a time cannot use more slots.
        enough = measured.proven and measured.slots >= allocation.slots
        self._more_slots = not BACKENDS[allocation.backend].slot_per_core and enough
        slots = measured.slots * replicas
        known = _Known(slots, slots if warmth.slots_seen is None else warmth.slots_seen)
        before = self._known.get(allocation.endpoint.url, known)
        self._known[allocation.endpoint.url] = known
        self._slots = max(1, self._slots + known.slots - before.slots)
        if self._warm_at is not None:
            return
        self._warm_at = time.monotonic()
        whole = self._warm_at - self._started
        if allocation.machine is not None:  # the clock may have been set meanwhile
            self._waiting = min(whole, max(0.0, allocation.machine.since - self._started_at))
            self._boot = min(whole - self._waiting, max(0.0, allocation.machine.boot_seconds))
        self._load = whole - self._waiting - self._boot

    def released(self, machine: MachineFacts, ended: str) -> None:
        """Take note that a machine was given back; `ended` says why before all was read, or is empty."""
        self._machines.append((machine, max(0.0, time.time() - machine.since), not ended))

    def __call__(self, event: Event) -> None:
        """Add up an event's figures."""
        match event:
            case PagesStarted(slots=slots):
                self._slots = max(self._slots, slots)
                if self._from is None:
                    self._from = time.monotonic()
            case PageDone(result=result) if result.source is not PageSource.TEXT_LAYER:
                self._to = time.monotonic()
                self._read += 1
                self._page_seconds += result.seconds
                self._again_seconds += sum(each.seconds for each in result.attempts if each.reason is not None)
                self._image_seconds += result.timing.prompt_eval
                if result.first_seconds is not None:
                    self._first_seconds.append(result.first_seconds)

    @property
    def _seen(self) -> int | None:
        """The slots that were seen at work, if some were not."""
        missing = sum(known.slots - known.seen for known in self._known.values())
        return max(0, self._slots - missing) if missing else None

    def first_token(self) -> Spread | None:
        """Return the seconds from a page's request to its first token; None before the first page."""
        return Spread.of(self._first_seconds)

    def figures(self) -> Figures:
        """Return what was measured."""
        held = sum(seconds for _, seconds, _ in self._machines)
        usd = sum((machine.usd_per_hour or 0.0) * seconds for machine, seconds, _ in self._machines)
        spot = [machine.spot_usd_per_hour for machine, _, _ in self._machines]
        staying = sum(stays for _, _, stays in self._machines)
        turn = 0.0 if self._from is None or self._warm_at is None else max(0.0, self._from - self._warm_at)
        return Figures(
            waiting=self._waiting + turn,
            boot=self._boot,
            load=self._load,
            reading=0.0 if self._from is None else max(0.0, self._to - self._from),
            slots=self._slots,
            slots_seen=self._seen,
            read=self._read,
            page_seconds=self._page_seconds,
            again_seconds=self._again_seconds,
            image_seconds=min(self._image_seconds, self._page_seconds),
            longest_side=self.longest_side,
            more_slots=self._more_slots,
            held=held,
            usd_per_hour=usd / held if held else 0.0,
            spot_usd_per_hour=min((each for each in spot if each is not None), default=None),
            machines=staying,
            idle=self.idle_seconds * staying,
        )
