"""What is simulated: who comes when, how machines are kept, and what is taken for granted."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from enum import StrEnum
from math import exp, log, sqrt
from statistics import fmean, pstdev

from pydantic import Field

from tasks.core.jobs import Frozen
from tasks.core.scaling import PAGES_PER_SLOT
from tasks.costs.assumptions import DAY_SECONDS, Assumptions

# So many page times are drawn one by one before their sum is taken for normally distributed.
_DRAWN = 8


class Policy(StrEnum):
    """How runs get machines."""

    POOL = "pool"
    """Runs reuse, start or launch machines of a pool, which stop when idle: `--backend ec2`."""
    TASK = "task"
    """A machine for each run, which ends with it: Lambda + ECS."""
    SERVICE = "service"
    """As many machines as the pages that wait are worth, from none: an ECS service behind a load balancer."""
    ALWAYS_ON = "always-on"
    """All machines, all day."""


class Arrivals(StrEnum):
    """When runs come."""

    ONCE = "once"
    STEADY = "steady"
    POISSON = "poisson"
    NIGHTLY = "nightly"
    """All of a day within an hour, at 22:00."""


class Work(Frozen):
    """What is to be read.

    Attributes:
        pages: of all runs.
        run_pages: of each run; the last one has what is left.
        days: over which runs come.
    """

    pages: int = Field(ge=1)
    run_pages: int = Field(50, ge=1)
    arrivals: Arrivals = Arrivals.POISSON
    days: float = Field(1.0, gt=0)
    seed: int = 1

    @property
    def runs(self) -> int:
        """How many."""
        return -(-self.pages // self.run_pages)

    def coming(self) -> Iterator[tuple[float, int]]:
        """Each run's arrival, in seconds from the start, and its pages; in order of arrival."""
        for number, at in enumerate(self._times()):
            yield at, min(self.run_pages, self.pages - number * self.run_pages)

    def _times(self) -> Iterator[float]:
        span, stream = self.days * DAY_SECONDS, random.Random(f"arrivals {self.seed}")  # noqa: S311 - not for secrets
        match self.arrivals:
            case Arrivals.ONCE:
                yield from (0.0 for _ in range(self.runs))
            case Arrivals.STEADY:
                yield from (number * span / self.runs for number in range(self.runs))
            case Arrivals.POISSON:
                # Given how many come, those of a Poisson process are spread evenly at random.
                yield from sorted(stream.random() * span for _ in range(self.runs))
            case Arrivals.NIGHTLY:
                nights = max(1, round(self.days))
                places = sorted((number * nights // self.runs, stream.random()) for number in range(self.runs))
                yield from (night * DAY_SECONDS + 22 * 3600 + within * 3600 for night, within in places)


class Rules(Frozen):
    """How machines are kept: what the settings of the product say.

    Attributes:
        idle_seconds: a machine without a run stays for so long.
        terminate_seconds: a stopped one likewise.
        machines: of a run (pool, task), or of all (service, always-on), at the most.
        pages_a_slot: a further machine comes for so many pages for each of its slots.
        spot: machines are bought on the spot market.
    """

    policy: Policy = Policy.POOL
    idle_seconds: float = Field(600.0, ge=0)
    terminate_seconds: float = Field(86_400.0, ge=0)
    machines: int = Field(1, ge=1, le=1000)
    pages_a_slot: float = Field(PAGES_PER_SLOT, ge=0)
    spot: bool = False


class Physics(Frozen):
    """What machines do whatever is decided, beside the assumptions of `hearth plan`. None of it was measured on AWS.

    Attributes:
        start_seconds: from starting a stopped machine until its model can be loaded.
        stop_seconds: from stopping it until it can be started.
        notice_seconds: from a spot machine's notice to its end.
        interruptions_an_hour: of a spot machine, on average.
        poll_seconds: how often a run looks again at a machine that is being stopped.
    """

    start_seconds: float = Field(40.0, ge=0)
    stop_seconds: float = Field(30.0, ge=0)
    notice_seconds: float = Field(120.0, ge=0)
    interruptions_an_hour: float = Field(0.02, ge=0)
    poll_seconds: float = Field(3.0, gt=0)


class Clock:
    """How long pages take: lognormal, or drawn from measured ones, and longer with more in flight.

    Args:
        given: the typical page, the spread, the seed, and what each further page in flight costs.
        measured: seconds of pages with as many in flight as `page_seconds_slots` says; none: they are lognormal.
        turn: another one draws other times.
    """

    def __init__(self, given: Assumptions, measured: Sequence[float] = (), turn: int = 0) -> None:
        self._stream = random.Random(f"pages {given.seed}{f' {turn}' if turn else ''}")  # noqa: S311 - not for secrets
        self._measured = measured
        self._mu, self._sigma = log(given.page_seconds.typical), given.page_sigma
        if measured:
            self._mean, self._deviation = fmean(measured), pstdev(measured)
        else:
            self._mean = given.page_seconds.typical * exp(self._sigma**2 / 2)
            self._deviation = self._mean * sqrt(exp(self._sigma**2) - 1)
        self._slow = given.slowdown_per_slot
        self._base = 1 + self._slow * (given.page_seconds_slots - 1)

    def seconds(self, pages: int, busy: int) -> float:
        """Of so many pages one after another, in a slot of a machine that has `busy` slots in use with this one."""
        if pages <= _DRAWN:
            spent = sum(self._one() for _ in range(pages))
        else:
            spent = max(0.0, self._stream.gauss(pages * self._mean, sqrt(pages) * self._deviation))
        return spent * (1 + self._slow * (busy - 1)) / self._base

    def _one(self) -> float:
        return (
            self._stream.choice(self._measured)
            if self._measured
            else self._stream.lognormvariate(self._mu, self._sigma)
        )
