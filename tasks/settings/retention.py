"""Settings of retention: how long the data of runs is kept."""

from __future__ import annotations

from pydantic import Field

from tasks.core.jobs import Frozen


class RetentionSettings(Frozen):
    """How long data is kept. `hearth clean`, each batch, and the worker of `hearth up` delete what has expired."""

    runs_days: float = Field(
        90,
        ge=2,
        description="Time for which Prefect keeps finished runs of Hearth's flows with their task runs, logs and "
        "artifacts, days. It applies only to the server that Hearth started.",
    )
    sweeps_days: float = Field(
        7, ge=2, description="The same for sweep-machines and idle-shutdown, days; they run hundreds of times a day."
    )
    reports_days: float = Field(
        400, ge=1, description="Time for which reports of batches are kept, days; the newest ten always are."
    )
    costs_days: float = Field(
        400, ge=31, description="Time covered by machines.jsonl in the results, which `hearth cost` reads, days."
    )
    leftovers_days: float = Field(
        30,
        ge=1,
        description="Time for which leftovers of runs are kept, days: shards of batches, slot ledgers, server logs.",
    )
    results_days: float | None = Field(
        None,
        ge=1,
        description="Time for which results are kept whose document is gone, days; for ever if unset, so that nothing "
        "is paid for twice.",
    )
    api_days: float | None = Field(
        None,
        ge=2,
        description="Time for which `hearth serve-api` keeps documents, results and records of ended runs, days; for "
        "ever if unset.",
    )
