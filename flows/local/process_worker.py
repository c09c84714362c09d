"""Prefect's worker, whose runs import nothing from their working directory.

`python -m flows.local.process_worker ARGUMENTS` replaces `prefect worker start ARGUMENTS`, which would put that
directory first on the import path.
"""

import sys
from typing import Any

from prefect.cli import app
from prefect.utilities.processutils import command_to_string
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker

from flows.local.run_engine import import_flows


class SafeConfiguration(ProcessJobConfiguration):
    """The command of a run's process."""

    def prepare_for_flow_run(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - Prefect's
        """Start Hearth's engine, unless the deployment names a command of its own."""
        self.command = self.command or command_to_string([sys.executable, "-P", "-m", "flows.local.run_engine"])
        super().prepare_for_flow_run(*arguments, **options)


def main() -> None:
    """Run the worker until it is stopped."""
    import_flows()  # the worker loads the flow of a crashed or cancelled run to run its hooks
    ProcessWorker.job_configuration = SafeConfiguration
    sys.argv = ["prefect", "worker", "start", *sys.argv[1:]]
    app()


if __name__ == "__main__":
    main()
