"""Prefect's worker, whose runs import nothing from the directory that they run in.

`python -m flows.local.process_worker ARGUMENTS` is `prefect worker start ARGUMENTS`. Prefect itself would put that
directory before all other places to import from.
"""

from __future__ import annotations

import sys
from typing import Any

from prefect.cli import app
from prefect.utilities.processutils import command_to_string
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker

from flows.local.run_engine import import_flows


class SafeConfiguration(ProcessJobConfiguration):
    """How a run's process is started."""

    def prepare_for_flow_run(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - Prefect's
        """See Prefect. A command that a deployment names is its own affair."""
        self.command = self.command or command_to_string([sys.executable, "-P", "-m", "flows.local.run_engine"])
        super().prepare_for_flow_run(*arguments, **options)


def main() -> None:
    """Run the worker until it is ended."""
    import_flows()  # the worker itself loads the flow of a run that crashed or was cancelled, for its hooks
    ProcessWorker.job_configuration = SafeConfiguration
    sys.argv = ["prefect", "worker", "start", *sys.argv[1:]]
    app()


if __name__ == "__main__":
    main()
