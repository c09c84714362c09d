"""What a run used, as its manifest stores it: servers, machines and shares of their cost."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tasks.core.jobs import BackendName, Frozen


class EndpointRecord(Frozen):
    """The server that read the pages, and why it was chosen.

    Attributes:
        gpu_bytes: GPU memory of the loaded model with all its slots; None if it uses none.
    """

    backend: BackendName
    why: str
    url: str
    slots_asked: int
    slots: int
    note: str | None = None
    gpu_bytes: int | None = Field(None, ge=0, exclude_if=lambda value: value is None)


class MachineRecord(Frozen):
    """A machine that was paid for while the run held it.

    Attributes:
        seconds: from taking it to giving it back, including its start if it was started for the run.
        usd: cost of these seconds without its disk; None if its price is not known.
        ended: why the run left it before its pages were done; None if it did not.
        boot_seconds: the part of these seconds until it answered, if it was started for the run.
    """

    id: str
    kind: str
    seconds: float
    usd: float | None
    ended: str | None = None
    boot_seconds: float = 0.0


class CostShares(Frozen):
    """What a run's machines cost, USD, as far as it is known at the run's end.

    As if no other run had used them: `hearth cost` shows later who did, and how long they idled.

    Attributes:
        direct_usd: while the run held them, warm and reading.
        boot_usd: while they booted for the run.
        idle_usd_at_most: while they idle after the run, if no other run comes.
    """

    direct_usd: float = 0.0
    boot_usd: float = 0.0
    idle_usd_at_most: float = 0.0
    provisional: Literal[True] = True
