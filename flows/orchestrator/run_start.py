"""When the run began for the first time, whatever interrupted it since."""

from __future__ import annotations

from datetime import UTC, datetime

from prefect.context import FlowRunContext


def run_began() -> datetime:
    """Return when the run that this is a part of began first: a retry, a *Resume* or another worker leaves it.

    The first time it is this machine's clock that counts, by which pages are stored, and not that of Prefect's server.
    """
    context = FlowRunContext.get()
    run = context.flow_run if context is not None else None
    if run is None or run.start_time is None or run.run_count <= 1:
        return datetime.now(UTC)
    return run.start_time
