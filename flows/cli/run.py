"""Run the asynchronous work of a command, and end it with an outcome, an error in one line, or a signal's exit code."""

import asyncio
import os
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

import typer

from flows.cli.console import err, print_json
from tasks.core.errors import HearthError

T = TypeVar("T")

# Time to release leases and slots, and to record the run's end in Prefect, after a signal.
_WIND_UP_SECONDS = 20.0
EXIT_PAGES_FAILED = 3
SIGNALS = {"KeyboardInterrupt": 130, "TerminationSignal": 143}


def run_command(work: Coroutine[Any, Any, T], *, as_json: bool, verbose: bool) -> T:
    """Run a command's work and return its result, or end the command with an exit code.

    `as_json` prints an error as JSON, too; `verbose` shows Prefect's log.
    """
    os.environ.setdefault("DO_NOT_TRACK", "1")
    if not verbose:
        # The flow's log goes to Prefect's server; a person gets the progress bar, and one line for each error.
        os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    runner = asyncio.Runner()
    try:
        outcome = runner.run(work)
        if not asyncio.all_tasks(runner.get_loop()):  # closing would wait for tasks that were abandoned
            _close(runner.get_loop())
    except BaseException as error:
        code = _signal_code(error)
        if code is None:
            if isinstance(error, HearthError):
                err.error(str(error))
                if as_json:
                    print_json({"status": "error", "error": str(error), "exit_code": error.exit_code})
                raise typer.Exit(error.exit_code) from None
            raise
        message = "Interrupted. The pages stored so far are kept; run the command again to continue."
        err.print(message)
        if as_json:
            print_json({"status": "interrupted", "error": message, "exit_code": code})
        leave_within(_WIND_UP_SECONDS, code)
        _close(runner.get_loop())  # SIGTERM is raised wherever the loop happens to be, and its tasks still run
        raise typer.Exit(code) from None
    return outcome


def _close(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel a loop's tasks and close it, without waiting for threads: one may hang in a call to AWS."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.wait(tasks))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


def leave_within(seconds: float, code: int) -> None:
    """End the process after some seconds at the latest, whatever it still waits for."""
    leave = threading.Timer(seconds, os._exit, [code])
    leave.daemon = True
    leave.start()


def _signal_code(error: BaseException | None) -> int | None:
    """Return the exit code if an error was caused by Ctrl-C or by SIGTERM, which Prefect turns into an exception.

    The signal's exception can be raised anywhere, even inside a task group.
    """
    while error is not None:
        code = SIGNALS.get(type(error).__name__)
        if code is None and isinstance(error, BaseExceptionGroup):
            code = next(filter(None, map(_signal_code, error.exceptions)), None)
        if code is not None:
            return code
        error = error.__cause__ or error.__context__
    return None
