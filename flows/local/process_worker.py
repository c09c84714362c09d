"""Prefect's worker, whose runs import nothing from their working directory, and are forks of a warm process.

`python -m flows.local.process_worker ARGUMENTS` replaces `prefect worker start ARGUMENTS`, which would put that
directory first on the import path.
"""

import socket
import subprocess
import sys
from pathlib import Path
from secrets import token_hex
from typing import Any

from prefect.cli import app
from prefect.utilities.processutils import command_to_string
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker

from flows.local import run_launcher
from flows.local.run_engine import import_flows
from tasks.core.imports import importing

_ANEW = ("-P", "-m", "flows.local.run_engine")
_MOST_WAITING = 64


class SafeConfiguration(ProcessJobConfiguration):
    """The command of a run's process."""

    def prepare_for_flow_run(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - Prefect's
        """Start Hearth's engine, unless the deployment names a command of its own."""
        self.command = self.command or command_to_string([sys.executable, *_engine])
        super().prepare_for_flow_run(*arguments, **options)


_engine = [*_ANEW]
"""Arguments of the interpreter that runs a flow run."""


def start_warm_engine() -> subprocess.Popen[bytes]:
    """Start the process that forks for runs. It ends when this process has ended, and the last run after it."""
    address = f"hearth-{token_hex(16)}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"\0{address}")
        listener.listen(_MOST_WAITING)
        engine = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-P", "-m", "flows.local.warm_engine", str(listener.fileno())],
            stdin=subprocess.PIPE,
            pass_fds=[listener.fileno()],
        )
    # Without site-packages and variables of Python's, it starts at once.
    _engine[:] = ["-I", "-S", str(Path(run_launcher.__file__)), address, *_ANEW]
    return engine


def main() -> None:
    """Run the worker until it is stopped."""
    engine = start_warm_engine() if sys.platform == "linux" else None  # it ends when nothing refers to it
    with importing():
        import_flows()  # the worker loads the flow of a crashed or cancelled run to run its hooks
    ProcessWorker.job_configuration = SafeConfiguration
    sys.argv = ["prefect", "worker", "start", *sys.argv[1:]]
    app()
    del engine


if __name__ == "__main__":
    main()
