"""Settings of retention: how long the data of runs is kept."""

from pydantic import Field

from tasks.core.jobs import Frozen


class RetentionSettings(Frozen):
    """How long data is kept. `hearth clean`, each batch, and the worker of `hearth up` delete what has expired."""

    runs_days: float = Field(
        90,
        ge=2,
        description="Time to keep finished runs, their logs and artifacts on the Prefect server of Hearth, days.",
    )
    sweeps_days: float = Field(
        7, ge=2, description="The same for sweep-machines and idle-shutdown, of which hundreds run daily, days."
    )
    reports_days: float = Field(400, ge=1, description="Time to keep reports of batches, days; the newest ten stay.")
    costs_days: float = Field(400, ge=31, description="Time to keep costs in machines.jsonl for `hearth cost`, days.")
    leftovers_days: float = Field(
        30, ge=1, description="Time to keep leftovers of runs, days: shards of batches, slot ledgers, server logs."
    )
    results_days: float | None = Field(
        None,
        ge=1,
        description="Time to keep results whose document is gone, days; for ever if unset: nothing is paid twice.",
    )
    api_days: float | None = Field(
        None,
        ge=2,
        description="Time to keep documents, results and records of ended API runs, days; for ever if unset.",
    )
