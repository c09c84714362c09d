"""How many machines work is worth: the rule that is simulated, and by which HEARTH_EC2__MACHINES is best set. Pure."""

from __future__ import annotations

from math import ceil


def machines_for(pages: int, slots: int, most: int, pages_a_slot: float) -> int:
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
