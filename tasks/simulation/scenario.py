"""The inputs of a simulation: the runs, the rules for machines, and the behaviour of machines and pages."""

import random
from collections.abc import Iterator, Sequence
from enum import StrEnum
from math import exp, log, sqrt
from statistics import fmean, pstdev

from pydantic import Field

from tasks.core.jobs import Frozen
from tasks.core.scaling import PAGES_PER_SLOT
from tasks.costs.assumptions import DAY_SECONDS, Assumptions

# The sum of more page times than this is drawn from a normal distribution.
_DRAWN = 8


class Policy(StrEnum):
    """How runs get machines."""

    POOL = "pool"
    """Runs reuse, start or launch machines of a pool, which stop when idle: `--backend ec2`."""
    TASK = "task"
    """Each run has a machine that ends with it: Lambda + ECS."""
    SERVICE = "service"
    """The number of machines follows the waiting pages, down to zero: an ECS service behind a load balancer."""
    ALWAYS_ON = "always-on"
    """All machines, all day."""


class Arrivals(StrEnum):
    """When runs arrive."""

    ONCE = "once"
    STEADY = "steady"
    POISSON = "poisson"
    NIGHTLY = "nightly"
    """All runs of a day arrive within an hour from 22:00 on."""


class Work(Frozen):
    """The workload.

    Attributes:
        run_pages: pages of each run; the last one has the rest.
    """

    pages: int = Field(ge=1)
    run_pages: int = Field(50, ge=1)
    arrivals: Arrivals = Arrivals.POISSON
    days: float = Field(1.0, gt=0)
    seed: int = 1

    @property
    def runs(self) -> int:
        """The number of runs."""
        return -(-self.pages // self.run_pages)

    def coming(self) -> Iterator[tuple[float, int]]:
        """Yield each run's arrival, in seconds from the start, and its pages, in order of arrival."""
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
                # Given their number, the arrivals of a Poisson process are uniformly distributed.
                yield from sorted(stream.random() * span for _ in range(self.runs))
            case Arrivals.NIGHTLY:
                nights = max(1, round(self.days))
                places = sorted((number * nights // self.runs, stream.random()) for number in range(self.runs))
                yield from (night * DAY_SECONDS + 22 * 3600 + within * 3600 for night, within in places)


class Rules(Frozen):
    """How machines are managed, as in the product's settings.

    Attributes:
        idle_seconds: how long a machine without a run is kept running.
        terminate_seconds: how long a stopped machine is kept.
        machines: highest number of machines of a run (pool, task) or of all runs (service, always-on).
        pages_a_slot: pages for each of its slots that bring another machine.
    """

    policy: Policy = Policy.POOL
    idle_seconds: float = Field(600.0, ge=0)
    terminate_seconds: float = Field(86_400.0, ge=0)
    machines: int = Field(1, ge=1, le=1000)
    pages_a_slot: float = Field(PAGES_PER_SLOT, ge=0)
    spot: bool = False


class Physics(Frozen):
    """The behaviour of machines, beside the assumptions of `hearth plan`. None of it was measured on AWS.

    Attributes:
        start_seconds: time from the start of a stopped machine until its model can be loaded.
        stop_seconds: time from the stop of a machine until it can be started again.
        notice_seconds: time from a spot machine's notice to its end.
        interruptions_an_hour: mean number of interruptions of a spot machine per hour.
        poll_seconds: how often a run checks a machine that is being stopped.
    """

    start_seconds: float = Field(40.0, ge=0)
    stop_seconds: float = Field(30.0, ge=0)
    notice_seconds: float = Field(120.0, ge=0)
    interruptions_an_hour: float = Field(0.02, ge=0)
    poll_seconds: float = Field(3.0, gt=0)


class Clock:
    """Page times: lognormal, or drawn from measured ones, and longer with more pages in flight.

    Args:
        given: the typical page time, its spread, the seed, and the slowdown by other pages in flight.
        measured: page times in seconds, with `page_seconds_slots` pages in flight; lognormal times if empty.
        turn: number of the draw; another number draws other times.
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
        """Return the seconds of consecutive pages in one slot of a machine, of which `busy` slots are in use."""
        if pages <= _DRAWN:
            spent = sum(self._one() for _ in range(pages))
        else:
            spent = max(0.0, self._stream.gauss(pages * self._mean, sqrt(pages) * self._deviation))
        return spent * (1 + self._slow * (busy - 1)) / self._base

    def _one(self) -> float:
        if self._measured:
            return self._stream.choice(self._measured)
        return self._stream.lognormvariate(self._mu, self._sigma)
