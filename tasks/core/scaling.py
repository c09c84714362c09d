"""How many machines pages are worth: what a run begins with, and what is simulated. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

PAGES_PER_SLOT = 32.0
"""Four minutes of reading: what the simulation found to cost least at its worst (docs/architecture/simulation.md)."""


def machine_count(pages: int, slots: int, most: int, pages_a_slot: float) -> int:
    """As many machines as have enough to do: a further one comes for so many pages for each of its slots.

    Args:
        pages: that wait, or are read.
        slots: of each machine.
        most: machines.
        pages_a_slot: the scale-out threshold; 0 asks for a machine as soon as a page waits for it.

    Returns:
        None for no pages, otherwise 1 at least.
    """
    if pages <= 0:
        return 0
    if pages_a_slot <= 0:
        return min(most, ceil(pages / slots))
    return max(1, min(most, int(pages / (slots * pages_a_slot))))


@dataclass(frozen=True)
class Scale:
    """How what a run begins with follows its pages.

    Attributes:
        most: machines.
        slots: of each.
        pages_a_slot: see `machine_count`; None where machines are there anyway, so that all of them are used.
        least: machines.
    """

    most: int = 1
    slots: int = 1
    pages_a_slot: float | None = None
    least: int = 1

    def machines(self, pages: int) -> int:
        """For a run of so many pages."""
        if self.pages_a_slot is None:
            return self.most
        return max(self.least, machine_count(pages, self.slots, self.most, self.pages_a_slot))
