"""Keep tracebacks of expected errors out of the logs of task runs: each of these errors is one sentence."""

from typing import Any, Final

from prefect.client.schemas.objects import State, TaskRun
from prefect.logging import get_run_logger
from prefect.tasks import Task

from tasks.core.errors import HearthError


async def _never(_task: Task[Any, Any], _run: TaskRun, state: State[Any]) -> bool:
    """Never retry a task; log the traceback of an error that is not Hearth's own."""
    error = await state.aresult(raise_on_failure=False)
    if not isinstance(error, HearthError):
        get_run_logger().error("Unexpected: %r", error, exc_info=error if isinstance(error, Exception) else None)
    return False


# Prefect logs no traceback if a condition, and not the number of retries, rules out another attempt.
QUIET: Final[dict[str, Any]] = {"retries": 1, "retry_condition_fn": _never}
"""Options of a task that logs no traceback of Hearth's own errors, and is never retried."""
