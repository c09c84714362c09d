"""Task runs whose errors say all in one sentence: Prefect would log a traceback of each."""

from __future__ import annotations

from typing import Any, Final

from prefect.client.schemas.objects import State, TaskRun
from prefect.logging import get_run_logger
from prefect.tasks import Task

from tasks.core.errors import HearthError


async def _never(_task: Task[Any, Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether to run it again: no. Of what nobody expected the traceback is logged here."""
    error = await state.aresult(raise_on_failure=False)
    if not isinstance(error, HearthError):
        get_run_logger().error("Unexpected: %r", error, exc_info=error if isinstance(error, Exception) else None)
    return False


# Prefect logs no traceback where a condition, and not the number of retries, says that there will be no other.
QUIET: Final[dict[str, Any]] = {"retries": 1, "retry_condition_fn": _never}
"""Options of a task that has no traceback of Hearth's own errors in the log, and no retries."""
