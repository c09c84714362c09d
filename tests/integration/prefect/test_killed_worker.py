"""A worker that is killed between claiming a run and starting it does not block later runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.prefect.prefect_processes import Processes, prefect_processes
from tests.support.waiting import until

ALONE = {"sweep-machines/sweep-machines": "Skipped", "process-batch/nightly": "Completed"}
"""And how they end here, without AWS and with an empty inbox."""


@pytest.fixture(scope="module")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    home = tmp_path_factory.mktemp("killed-worker")
    (home / "inbox").mkdir()
    with prefect_processes(home) as processes:
        processes.environment |= {"HEARTH_INBOX": str(home / "inbox"), "HEARTH_OUTPUT": str(home / "results")}
        yield processes


def claimed(prefect: Processes, name: str) -> str:
    """A run whose process never comes to begin it."""
    deployment = prefect.deployment(name)["id"]
    prefect.ask("PATCH", f"/deployments/{deployment}", {"job_variables": {"command": "sleep 600"}})
    run = prefect.run(name)
    until(lambda: prefect.get(f"/flow_runs/{run}")["state_type"] == "PENDING")
    prefect.ask("PATCH", f"/deployments/{deployment}", {"job_variables": {}})
    return run


@pytest.mark.long("kills a worker and its server, and starts them again")
def test_the_sweep_and_the_nightly_batch_still_run(prefect: Processes):
    left = {name: claimed(prefect, name) for name in ALONE}
    prefect.kill("worker")
    prefect.kill("server")  # which forgets its leases
    prefect.start("server")
    prefect.start("worker")
    later = {name: prefect.run(name) for name in ALONE}
    assert {name: prefect.ended(run)["state_name"] for name, run in later.items()} == ALONE
    assert {prefect.get(f"/flow_runs/{run}")["state_type"] for run in left.values()} == {"PENDING"}
