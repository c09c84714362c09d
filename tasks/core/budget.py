"""How much a run may spend: when it is used up no page is begun any more, and what is read stands."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True)
class Budget:
    """What may be spent.

    Attributes:
        usd: on machines.
        minutes: from the start.
        finish_by: no page is begun after it.
        started: on the monotonic clock, seconds.
    """

    usd: float | None = None
    minutes: float | None = None
    finish_by: datetime | None = None
    started: float = 0.0

    def exhausted(self, usd: float) -> str | None:
        """Why it is used up, for people; None while it is not.

        Args:
            usd: what the machines have cost so far.
        """
        if self.usd is not None and usd >= self.usd:
            return f"the budget of {self.usd:g} USD is spent"
        if self.minutes is not None and time.monotonic() - self.started >= self.minutes * 60:
            return f"the budget of {self.minutes:g} minutes is used up"
        if self.finish_by is not None and datetime.now(UTC) >= self.finish_by:
            return f"it is {self.finish_by:%H:%M %Z}"
        return None
