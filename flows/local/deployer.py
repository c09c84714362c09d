"""A process that creates deployments with Prefect's own command, and imports all of it while the server starts."""

import multiprocessing
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from importlib import import_module
from io import StringIO
from multiprocessing.connection import Connection
from pathlib import Path

from tasks.core.errors import ServerError
from tasks.core.imports import importing

_ATTEMPTS = 3
_BUSY_MESSAGES = ("503 Service Unavailable", "ReadTimeout", "database is locked")


class Deployer:
    """The process, as its parent sees it; see `deployer`."""

    def __init__(self, file: Path, connection: Connection) -> None:
        self._file, self._connection = file, connection

    def deploy(self, environment: Mapping[str, str]) -> None:
        """Create the deployments on the server that an environment names; raise ServerError if that fails."""
        error: str | None = "its process has ended"
        with suppress(EOFError, OSError):
            self._connection.send(dict(environment))
            error = self._connection.recv()
        if error is not None:
            raise ServerError(f"`{' '.join(_command(self._file))}` failed: {error}")


@contextmanager
def deployer(file: Path) -> Iterator[Deployer]:
    """Provide a process that creates the deployments of a file.

    On Linux it is a fork, which needs not import again what is imported here: enter it before a thread is started.
    """
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(file.absolute(), theirs, ours), daemon=True)  # type: ignore[attr-defined]
    process.start()
    theirs.close()
    try:
        yield Deployer(file.absolute(), ours)
    finally:
        ours.close()
        process.terminate()
        process.join()


def _serve(file: Path, connection: Connection, parents: Connection) -> None:
    """Import what the command needs, and create the deployments when the environment arrives."""
    parents.close()  # so that the end of the parent is noticed
    with importing():
        from flows.local.run_engine import import_engine

        import_module("prefect.cli.deploy")
        import_engine()
    with suppress(EOFError):
        environment = connection.recv()
        os.environ.clear()
        os.environ.update(environment)
        os.chdir("/")  # Prefect imports modules from its working directory
        from prefect.context import refresh_global_settings_context

        refresh_global_settings_context()
        connection.send(create(file))


def create(file: Path) -> str | None:
    """Create the deployments, again if the server was only busy; return the last line of what failed."""
    for _ in range(_ATTEMPTS):
        code, output = _run(_command(file))
        if not code:
            return None
        if not any(busy in output for busy in _BUSY_MESSAGES):
            break
    return (output.strip().splitlines() or ["it printed nothing"])[-1]


def _command(file: Path) -> list[str]:
    return ["prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(file)]


def _run(command: list[str]) -> tuple[int, str]:
    """Run a command of Prefect's in this process, and return its exit code and what it printed."""
    from prefect.cli import app

    sys.argv = command
    output = StringIO()
    with redirect_stdout(output), redirect_stderr(output):
        try:
            app()
        except SystemExit as ended:
            return (ended.code if isinstance(ended.code, int) else 1), output.getvalue()
        except Exception as error:  # noqa: BLE001 - as the interpreter would
            return 1, f"{output.getvalue()}\n{type(error).__name__}: {error}"
    return 0, output.getvalue()
