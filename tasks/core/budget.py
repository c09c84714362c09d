"""What a run may spend. An exhausted budget starts no more pages; pages that were read stay."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True)
class Budget:
    """The limits of a run.

    Attributes:
        usd: cost of the machines.
        minutes: since the start.
        finish_by: time after which no page is started.
        started: seconds on the monotonic clock.
    """

    usd: float | None = None
    minutes: float | None = None
    finish_by: datetime | None = None
    started: float = 0.0

    def exhausted(self, usd: float) -> str | None:
        """Return the limit that was reached when the machines have cost so much, for people; None if none was."""
        if self.usd is not None and usd >= self.usd:
            return f"the budget of {self.usd:g} USD is spent"
        if self.minutes is not None and time.monotonic() - self.started >= self.minutes * 60:
            return f"the budget of {self.minutes:g} minutes is used up"
        if self.finish_by is not None and datetime.now(UTC) >= self.finish_by:
            return f"it is {self.finish_by:%H:%M %Z}"
        return None
