"""What befalls each document of a chaos run: drawn from the seed and the document's number alone."""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from tests.faults.marks import Page
from tests.faults.wire_faults import Fault, Kind

MOST_PAGES = 6
_LONGEST = {Kind.REFUSED: 0.4, Kind.HANG: 5.0, Kind.DRIP: 1.0, Kind.LATENCY: 1.0, Kind.ANSWERED_TWICE: 0.1}
_FAULTS_OF_A_PAGE = (0, 0, 1, 1, 2, 3)
_WARMING = (Kind.BUSY, Kind.RESET_BODY, Kind.RESET_HEADERS, Kind.EMPTY, Kind.CUT_JSON, Kind.WRONG_SHAPE)
_WARMING_SHARE = 0.03


class BlowKind(StrEnum):
    """What is done to a process."""

    KILL_RUN = "run killed"
    STOP_RUN = "run stopped"
    KILL_SERVER = "page server killed"
    STOP_PREFECT = "Prefect stopped"


OF_THE_RUN = {BlowKind.KILL_RUN, BlowKind.STOP_RUN}
_SHARES = {BlowKind.KILL_RUN: 0.16, BlowKind.STOP_RUN: 0.05, BlowKind.KILL_SERVER: 0.05, BlowKind.STOP_PREFECT: 0.04}
# Some runs stand still for longer than they are leased anything.
_SECONDS = {BlowKind.STOP_RUN: 13.0, BlowKind.KILL_SERVER: 2.0, BlowKind.STOP_PREFECT: 4.0}


@dataclass(frozen=True)
class Blow:
    """A fault of a process, `after` seconds from the document's `at`-th request for a page; `seconds` until it ends."""

    kind: BlowKind
    at: int
    after: float
    seconds: float


@dataclass(frozen=True)
class Schedule:
    """A document, and all that befalls it."""

    document: int
    pages: int
    faults: dict[Page, tuple[Fault, ...]]
    blows: tuple[Blow, ...]

    @property
    def alone(self) -> bool:
        """Whether its run must be a process of its own."""
        return any(blow.kind in OF_THE_RUN for blow in self.blows)


def schedule(seed: int, document: int, without: Collection[Kind] = ()) -> Schedule:
    """The schedule of one document; it is the same whatever the others are."""
    chance = random.Random(f"{seed}:{document}")
    pages = chance.randint(1, MOST_PAGES)
    drawn = {
        Page(document, number): [_fault(chance) for _ in range(chance.choice(_FAULTS_OF_A_PAGE))]
        for number in range(1, pages + 1)
    }
    faults = {page: tuple(each for each in of if each.kind not in without) for page, of in drawn.items()}
    blows = []
    for kind, share in _SHARES.items():
        times = (chance.random() < share) + (chance.random() < share / 4)
        blows += [
            Blow(kind, chance.randint(1, pages), chance.uniform(0, 0.3), chance.uniform(0.1, _SECONDS.get(kind, 0.1)))
            for _ in range(times)
        ]
    return Schedule(document, pages, faults, tuple(blows))


def while_warming(seed: int, path: str, nth: int) -> Fault | None:
    """What befalls a request that is for no page; which run's it is cannot be told."""
    chance = random.Random(f"{seed}:{path}:{nth}")
    return Fault(chance.choice(_WARMING)) if chance.random() < _WARMING_SHARE else None


def _fault(chance: random.Random) -> Fault:
    kind = chance.choice(list(Kind))
    longest = _LONGEST.get(kind, 0.0)
    # Some hang for longer than the client waits.
    return Fault(kind, round(chance.uniform(0.0, longest), 3))
