"""Results of checks: the lines of `hearth check` and `hearth infra doctor`."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum

from tasks.core.errors import HearthError

_SECONDS = 30.0


class State(StrEnum):
    """Whether the thing that was checked is there."""

    OK = "ok"
    UNKNOWN = "unknown"
    """The check was not possible; a run may still succeed."""
    MISSING = "missing"


@dataclass(frozen=True)
class Finding:
    """One result of a check.

    Attributes:
        remedy: what to do; empty if `why` says it, or there is nothing to do.
    """

    state: State
    why: str
    remedy: str = ""


Findings = AsyncIterator[Finding]


async def collect_findings(findings: Findings) -> list[Finding]:
    """Return a check's results. If it fails or times out, the last one says so."""
    collected: list[Finding] = []
    try:
        async with asyncio.timeout(_SECONDS):
            async for finding in findings:
                collected.append(finding)  # noqa: PERF401 - results before an error count
    except HearthError as error:
        collected.append(Finding(State.MISSING, str(error)))
    except TimeoutError:
        why = f"There was no answer within {_SECONDS:.0f} s."
        collected.append(Finding(State.MISSING, why, "Check the network connection, and try again."))
    return collected
