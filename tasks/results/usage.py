"""What a run used and measured, as its manifest stores it: servers, machines, costs, figures and advice."""

from collections.abc import Collection
from statistics import quantiles
from typing import Literal, Self

from pydantic import Field

from tasks.core.jobs import BackendName, Frozen


class Spread(Frozen):
    """The spread of some values: their median and their 95th percentile."""

    median: float
    p95: float

    @classmethod
    def of(cls, values: Collection[float]) -> Self | None:
        """Return the spread of values; None if there are none."""
        if not values:
            return None
        cuts = quantiles(values, n=20, method="inclusive") if len(values) > 1 else [*values] * 19
        return cls(median=round(cuts[9], 3), p95=round(cuts[18], 3))

    def __str__(self) -> str:
        return f"median {self.median:.2f} s, 95th percentile {self.p95:.2f} s"


class EndpointRecord(Frozen):
    """The server that read the pages, and why it was chosen.

    Attributes:
        slots_asked: parallel requests that were wanted of it.
        slots: those that it was sent.
        slots_seen: the most that it was seen working on, while `slots` is not proven; None if it is.
        gpu_bytes: GPU memory of the loaded model with all its slots; None if it uses none.
    """

    backend: BackendName
    why: str
    url: str
    slots_asked: int
    slots: int
    slots_seen: int | None = Field(None, ge=0, exclude_if=lambda value: value is None)
    note: str | None = None
    gpu_bytes: int | None = Field(None, ge=0, exclude_if=lambda value: value is None)

    @property
    def slots_proven(self) -> int:
        """The slots that the server stated or that pages have shown; see `Measured.proven`."""
        return self.slots if self.slots_seen is None else self.slots_seen


class MachineRecord(Frozen):
    """A machine that was paid for while the run held it.

    Attributes:
        seconds: from taking it to giving it back, including its start if it was started for the run.
        usd: cost of these seconds without its disk; None if its price is not known.
        ended: why the run left it before its pages were done; None if it did not.
        boot_seconds: the part of these seconds until it answered, if it was started for the run.
    """

    id: str
    kind: str
    seconds: float
    usd: float | None
    ended: str | None = None
    boot_seconds: float = 0.0


class CostShares(Frozen):
    """What a run's machines cost, USD, as far as it is known at the run's end.

    As if no other run had used them: `hearth cost` shows later who did, and how long they idled.

    Attributes:
        direct_usd: while the run held them, warm and reading.
        boot_usd: while they booted for the run.
        idle_usd_at_most: while they idle after the run, if no other run comes.
    """

    direct_usd: float = 0.0
    boot_usd: float = 0.0
    idle_usd_at_most: float = 0.0
    provisional: Literal[True] = True


class Figures(Frozen):
    """What a run measured, in seconds and USD per hour.

    Attributes:
        waiting: for a machine, for other documents and for slots.
        boot: of machines that were started for the run, until they answered.
        load: from there until the model was warm.
        reading: from the first page's start to the last page's end.
        slots: pages at once on all servers.
        slots_seen: the most that were seen at work at once, while `slots` is not proven; None if it is.
        read: pages that were read.
        page_seconds: seconds in slots, all attempts.
        again_seconds: the part of it in attempts that failed.
        image_seconds: the part of it in which the model processed images and prompts and wrote nothing.
        longest_side: longest side of the images, pixels.
        more_slots: whether the server could be given more slots.
        held: of all machines, from taking to giving back, boots included.
        usd_per_hour: average price of a machine; 0 if none was paid for.
        spot_usd_per_hour: price of the same machine on spot; None if it is one, or the price is not known.
        machines: machines that wait for other runs afterwards.
        idle: how long these wait if no other run comes, added up.
    """

    waiting: float = Field(0.0, ge=0)
    boot: float = Field(0.0, ge=0)
    load: float = Field(0.0, ge=0)
    reading: float = Field(0.0, ge=0)
    slots: int = 1
    slots_seen: int | None = Field(None, ge=0, exclude_if=lambda value: value is None)
    read: int = 0
    page_seconds: float = Field(0.0, ge=0)
    again_seconds: float = Field(0.0, ge=0)
    image_seconds: float = Field(0.0, ge=0)
    longest_side: int = 0
    more_slots: bool = False
    held: float = Field(0.0, ge=0)
    usd_per_hour: float = Field(0.0, ge=0)
    spot_usd_per_hour: float | None = None
    machines: int = 1
    idle: float = Field(0.0, ge=0)

    @property
    def seconds(self) -> float:
        """Seconds of the whole run."""
        return self.waiting + self.boot + self.load + self.reading

    @property
    def busy(self) -> float:
        """The part of the slots' time in which they had a page."""
        return min(1.0, self.page_seconds / (self.reading * self.slots)) if self.reading else 0.0

    def usd(self, seconds: float) -> float:
        """Return what a machine costs in this time, USD."""
        return self.usd_per_hour * seconds / 3600


class Saving(Frozen):
    """What a change would have saved: seconds of the run, USD of the run and of the idling after it."""

    change: str
    seconds: float = 0.0
    usd: float = 0.0


class Insight(Frozen):
    """A run's figures, the change that would have saved most (None if none is worth it), and both as a paragraph."""

    figures: Figures
    saving: Saving | None
    told: str
