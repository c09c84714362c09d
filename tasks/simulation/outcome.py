"""The results of a simulation: times of runs, hours of machines, and cost."""

from dataclasses import dataclass, field

from tasks.core.jobs import Frozen
from tasks.costs.assumptions import Assumptions
from tasks.costs.price_book import Book, Term
from tasks.costs.rates import balancer_usd_per_hour, function_usd, gp3_usd_per_hour
from tasks.simulation.scenario import Policy, Rules, Work

_BINS = 256


class Outcome(Frozen):
    """The result of a simulation.

    Attributes:
        span: seconds from the start until the last page was read.
        started: seconds from a run's arrival to its first page: mean, median and 95th percentile.
        finished: seconds from a run's arrival to its last page: median, 95th percentile and longest.
        machine_hours: hours of machines that were paid for.
        occupancy: fraction of the paid slot-seconds in which a page was read.
        launches: number of new machines; `starts` of stopped ones; `interruptions` by the spot market.
        again: pages that were read twice.
        peak: highest number of machines at once.
        usd: cost of machines, disks, addresses, load balancer and function.
        machines, slots: means over equal intervals until the last machine is terminated.
        seconds: length of one such interval.
    """

    work: Work
    rules: Rules
    runs: int
    span: float
    started_mean: float
    started_p50: float
    started_p95: float
    finished_p50: float
    finished_p95: float
    finished_max: float
    machine_hours: float
    occupancy: float
    launches: int
    starts: int
    interruptions: int
    again: int
    peak: int
    usd: float
    usd_per_1000: float
    machines: tuple[float, ...]
    slots: tuple[float, ...]
    seconds: float


@dataclass
class Trace:
    """A value over time, summed up in a fixed number of bins that grow with the time."""

    width: float = 1.0
    bins: list[float] = field(default_factory=lambda: [0.0] * _BINS)
    _value: float = 0.0
    _since: float = 0.0

    def change(self, now: float, by: float) -> None:
        """Change the value from now on."""
        self.until(now)
        self._value += by

    def until(self, now: float) -> None:
        """Record the value until now."""
        while now > self.width * _BINS:
            pairs = [self.bins[place] + self.bins[place + 1] for place in range(0, _BINS, 2)]
            self.bins = pairs + [0.0] * (_BINS // 2)
            self.width *= 2
        at = self._since
        while at < now:
            place = min(_BINS - 1, int(at / self.width))
            end = min(now, (place + 1) * self.width)
            if end <= at:  # rounding
                end = now
            self.bins[place] += (end - at) * self._value
            at = end
        self._since = now

    @property
    def area(self) -> float:
        """The integral over all of the time."""
        return sum(self.bins)

    def means(self) -> tuple[float, ...]:
        """Return the mean of each bin that was used."""
        used = min(_BINS, int(self._since / self.width) + 1)
        return tuple(amount / self.width for amount in self.bins[:used])


@dataclass
class Meter:
    """The counters of a running simulation. Seconds are summed over machines."""

    running: float = 0.0
    disks: float = 0.0
    launches: int = 0
    starts: int = 0
    interruptions: int = 0
    again: int = 0
    on: int = 0
    peak: int = 0
    machines: Trace = field(default_factory=Trace)
    slots: Trace = field(default_factory=Trace)
    started: list[float] = field(default_factory=list)
    finished: list[float] = field(default_factory=list)

    def switched(self, now: float, by: int) -> None:
        """Change the number of machines that are on."""
        self.on += by
        self.peak = max(self.peak, self.on)
        self.machines.change(now, by)


def outcome(work: Work, rules: Rules, given: Assumptions, book: Book, meter: Meter, span: float) -> Outcome:
    """Sum up a simulation.

    Raises:
        KeyError: the price book has no price of the machine.
    """
    usd = _usd(work, rules, given, book, meter, span)
    started, finished = sorted(meter.started), sorted(meter.finished)
    return Outcome(
        work=work,
        rules=rules,
        runs=len(finished),
        span=span,
        started_mean=sum(started) / len(started),
        started_p50=_at(started, 0.5),
        started_p95=_at(started, 0.95),
        finished_p50=_at(finished, 0.5),
        finished_p95=_at(finished, 0.95),
        finished_max=finished[-1],
        machine_hours=meter.running / 3600,
        occupancy=meter.slots.area / (meter.running * given.slots),
        launches=meter.launches,
        starts=meter.starts,
        interruptions=meter.interruptions,
        again=meter.again,
        peak=meter.peak,
        usd=usd,
        usd_per_1000=usd * 1000 / work.pages,
        machines=meter.machines.means(),
        slots=meter.slots.means(),
        seconds=meter.machines.width,
    )


def _usd(work: Work, rules: Rules, given: Assumptions, book: Book, meter: Meter, span: float) -> float:
    price = book.find(given.instance_type, given.region, Term.SPOT if rules.spot else Term.ON_DEMAND)
    assumed = None if rules.spot else given.usd_per_hour
    an_hour = assumed if assumed is not None or price is None else price.usd
    if an_hour is None:
        raise KeyError(given.instance_type)
    usd = meter.running / 3600 * (an_hour + (book.usd("ipv4", given.region) if given.ipv4 else 0.0))
    usd += meter.disks / 3600 * gp3_usd_per_hour(given.disk_gb, region=given.region, book=book)
    if rules.policy is Policy.SERVICE:
        usd += balancer_usd_per_hour(given.region, book, given.alb_lcu) * max(span / 3600, work.days * 24)
    if rules.policy is Policy.TASK:
        usd += work.runs * function_usd(given.lambda_seconds, given.lambda_gb, given.region, book)
    return usd


def _at(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
