"""Events that runs send to Prefect for automations: a run makes progress, or its budget is spent."""

import time
from typing import Any

from prefect.events import emit_event
from prefect.runtime import flow_run

from tasks.core.budget import Budget
from tasks.core.events import Event, PagesStarted, Progress, Pulling
from tasks.reading.events import PageDone

PROGRESS = "hearth.run.progress"
OVER_BUDGET = "hearth.cost.over-budget"
LEFT = "hearth.run.left"
PROGRESS_SECONDS = 60.0
"""Shortest time between two reports of progress, so that they do not slow pages down."""


class ProgressEvents:
    """A listener that reports a run's progress to Prefect; called on any thread."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, event: Event) -> None:
        """Report progress, unless the last report is too recent."""
        if isinstance(event, (Progress, Pulling, PagesStarted, PageDone)) and time.monotonic() >= self._next:
            self._next = time.monotonic() + PROGRESS_SECONDS
            _emit(PROGRESS, {})


def emit_over_budget(budget: Budget, usd: float) -> None:
    """Report to Prefect that a run has spent its budget in dollars, if it has."""
    if budget.usd is not None and usd >= budget.usd:
        _emit(OVER_BUDGET, {"usd": round(usd, 4), "max_usd": budget.usd})


def emit_left() -> None:
    """Report to Prefect that the process of a paused run ends, which may have sent a heartbeat after the pause."""
    _emit(LEFT, {})


def _emit(event: str, payload: dict[str, Any]) -> None:
    """Queue an event on Prefect's own thread, which sends it when it can; the run does not wait."""
    if run := flow_run.id:
        resource = {"prefect.resource.id": f"prefect.flow-run.{run}", "prefect.resource.name": flow_run.name or run}
        emit_event(event, resource, payload=payload)
