"""What `hearth check` finds of a backend, or of anything else that a run needs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum

from tasks.aws.quotas import Quota
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
    """A line of the check.

    Attributes:
        why: what was found.
        remedy: what to do; empty where `why` says it, or nothing is to be done.
    """

    state: State
    why: str
    remedy: str = ""


Findings = AsyncIterator[Finding]


async def collected(findings: Findings) -> list[Finding]:
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


def of_quotas(*quotas: Quota) -> Finding:
    """Say whether one of several quotas, any of which will do, lets a machine in."""
    told = "; ".join(_told(quota) for quota in quotas)
    if any(quota.allowed is not None and quota.suffices for quota in quotas):
        return Finding(State.OK, f"Quota: {told}.")
    if any(quota.allowed is None for quota in quotas):
        return Finding(State.UNKNOWN, f"Quota: {told}.", "Look in Service Quotas.")
    return Finding(State.MISSING, f"Quota: {told}.", "Ask for more of it in Service Quotas.")


def _told(quota: Quota) -> str:
    if quota.allowed is None:
        return f"{quota.name} is not known: {quota.why_unknown.rstrip('.')}"
    return f"{quota.name} is {quota.allowed:g}, and a machine takes {quota.needed:g}"
