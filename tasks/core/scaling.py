"""How many machines a number of pages deserves: for the start of a run, and for simulations. Pure."""

from dataclasses import dataclass
from math import ceil

PAGES_PER_SLOT = 32.0
"""Four minutes of reading: the lowest worst-case cost in simulations (docs/architecture/simulation.md)."""


def machine_count(pages: int, slots: int, most: int, pages_a_slot: float) -> int:
    """Return how many machines these pages keep busy: 0 without pages, else 1 to `most`.

    A further machine is justified by so many pages for each of its slots; 0 adds one as soon as a page waits.
    """
    if pages <= 0:
        return 0
    if pages_a_slot <= 0:
        return min(most, ceil(pages / slots))
    return max(1, min(most, int(pages / (slots * pages_a_slot))))


@dataclass(frozen=True)
class Scale:
    """How many machines a run starts with, by its pages.

    Attributes:
        most: maximum number of machines.
        slots: of each machine.
        pages_a_slot: see `machine_count`; None if the machines exist anyway, so that all are used.
        least: minimum number of machines.
    """

    most: int = 1
    slots: int = 1
    pages_a_slot: float | None = None
    least: int = 1

    def machines(self, pages: int) -> int:
        """Return the number of machines for a run of so many pages."""
        if self.pages_a_slot is None:
            return self.most
        return max(self.least, machine_count(pages, self.slots, self.most, self.pages_a_slot))
