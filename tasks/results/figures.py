"""The figures of a run, and the advice that follows from them, as its manifest stores them."""

from __future__ import annotations

from pydantic import Field

from tasks.core.jobs import Frozen


class Figures(Frozen):
    """What a run measured, in seconds and USD per hour.

    Attributes:
        waiting: for a machine, for other documents and for slots.
        boot: of machines that were started for the run, until they answered.
        load: from there until the model was warm.
        reading: from the first page's start to the last page's end.
        slots: pages at once on all servers.
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
