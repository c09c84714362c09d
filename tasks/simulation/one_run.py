"""One run on machines that are warm already: how long it reads, as the planner wants to know."""

from __future__ import annotations

from tasks.costs.assumptions import Assumptions, Range
from tasks.simulation.fleet import Fleet
from tasks.simulation.scenario import Arrivals, Clock, Physics, Policy, Rules, Work

_EVENTS = 2_000
"""More pages than that are read as blocks: it ends within 1 % of when they end one by one (a test), and much sooner."""
_NOTHING = Range.exactly(0)


def reading_seconds(pages: int, slots: int, machines: int, given: Assumptions, clock: Clock) -> float:
    """Simulate it.

    Args:
        pages: of the run.
        slots: of each machine.
        machines: at the most; fewer if the pages do not fill their slots.
        given: what else is taken for granted.
        clock: of pages.

    Returns:
        Seconds from its first page's begin to its last one's end.
    """
    work = Work(pages=pages, run_pages=pages, arrivals=Arrivals.ONCE)
    rules = Rules(policy=Policy.TASK, machines=machines, pages_a_slot=0)
    warm = given.model_copy(
        update={"slots": slots, "boot_seconds": _NOTHING, "task_seconds": _NOTHING, "load_seconds": _NOTHING}
    )
    fleet = Fleet(work, rules, warm, Physics(), clock, _EVENTS)
    fleet.play()
    return fleet.ended_at
