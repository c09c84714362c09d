"""What is found of something that a run, or a stack, needs: a line of `hearth check` or `hearth infra doctor`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum

from tasks.core.errors import HearthError

_SECONDS = 30.0


class State(StrEnum):
    """Whether it is there."""

    OK = "ok"
    UNKNOWN = "unknown"
    """It could not be asked for; a run may do all the same."""
    MISSING = "missing"


@dataclass(frozen=True)
class Finding:
    """A line of a check.

    Attributes:
        why: what was found.
        remedy: what to do; empty where `why` says it, or nothing is to be done.
    """

    state: State
    why: str
    remedy: str = ""


Findings = AsyncIterator[Finding]


async def collect_findings(findings: Findings) -> list[Finding]:
    """Return what a check finds. Its error, or that it took too long, is the last of it."""
    found: list[Finding] = []
    try:
        async with asyncio.timeout(_SECONDS):
            async for finding in findings:
                found.append(finding)  # noqa: PERF401 - what was found before an error counts
    except HearthError as error:
        found.append(Finding(State.MISSING, str(error)))
    except TimeoutError:
        why = f"There was no answer within {_SECONDS:.0f} s."
        found.append(Finding(State.MISSING, why, "See that the network leads there, and try again."))
    return found
