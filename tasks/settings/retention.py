"""How long what runs leave behind is kept."""

from __future__ import annotations

from pydantic import Field

from tasks.core.jobs import Frozen


class RetentionSettings(Frozen):
    """What `hearth clean` deletes, and what the end of a batch and the worker of `hearth up` delete by themselves."""

    runs_days: float = Field(
        90,
        ge=2,
        description="Days for which Prefect keeps finished runs of Hearth's flows, with their task runs, logs and "
        "artifacts. Only on the server that Hearth started itself.",
    )
    sweeps_days: float = Field(
        7, ge=2, description="The same for runs of sweep-machines and idle-shutdown, of which there are hundreds a day."
    )
    reports_days: float = Field(
        400, ge=1, description="Days for which reports of batches are kept; the newest ten always are."
    )
    costs_days: float = Field(
        400, ge=31, description="Days for which machines.jsonl below the results, of `hearth cost`, goes back."
    )
    leftovers_days: float = Field(
        30,
        ge=1,
        description="Days after which what ended runs and servers left goes: parts of shared batches, slot ledgers, "
        "server logs.",
    )
    results_days: float | None = Field(
        None,
        ge=1,
        description="Days for which results are kept whose document is gone, so that nothing is paid for twice; "
        "all are kept for ever if unset.",
    )
    api_days: float | None = Field(
        None,
        ge=2,
        description="Days for which `hearth serve-api` keeps documents, results and records of runs that have ended; "
        "for ever if unset.",
    )
