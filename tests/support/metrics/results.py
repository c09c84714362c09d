"""Page results for tests of what is counted."""

from __future__ import annotations

from datetime import UTC, datetime

from tasks.core.errors import FailureReason
from tasks.inference.schema import Timing
from tasks.results.page import Attempt, PageResult, PageStatus


def result(
    status: PageStatus = PageStatus.READ,
    *reasons: FailureReason | None,
    page: int = 1,
    seconds: float = 2.0,
    first_seconds: float | None = None,
) -> PageResult:
    """A page, with what became of each request about it."""
    return PageResult(
        page=page,
        identity="i",
        status=status,
        reason=reasons[-1] if status is PageStatus.FAILED else None,
        model="m",
        digest="d",
        seconds=seconds,
        first_seconds=first_seconds,
        tokens_in=300,
        tokens_out=20,
        timing=Timing(total=2.0, prompt_eval=0.5, eval=1.0),
        attempts=tuple(Attempt(temperature=0.0, seconds=seconds, reason=reason) for reason in reasons),
        finished_at=datetime.now(UTC),
    )
