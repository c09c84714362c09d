"""How the commands run a flow and end: with an outcome, one line that says what went wrong, or a signal."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Coroutine
from typing import Any, NoReturn, TypeVar

import typer

from flows.cli.console import Terminal, write
from tasks.core.errors import HearthError

T = TypeVar("T")

# What is under way when a signal comes is given back: leases, slots, Prefect's record of the run.
_WIND_UP_SECONDS = 20.0
SIGNALS = {"KeyboardInterrupt": 130, "TerminationSignal": 143}

_err = Terminal(stderr=True)


def run_command(work: Coroutine[Any, Any, T], *, as_json: bool, verbose: bool) -> T:
    """Do a command's work to its end, or end the command.

    Args:
        work: what it does.
        as_json: an error is printed as JSON, too.
        verbose: Prefect's log is shown.
    """
    os.environ.setdefault("DO_NOT_TRACK", "1")
    if not verbose:
        # The flow's log goes to Prefect's server; a person gets the progress bar and one line an error.
        os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    runner = asyncio.Runner()
    try:
        outcome = runner.run(work)
        if not asyncio.all_tasks(runner.get_loop()):  # otherwise it waits for what was given up
            _close(runner.get_loop())
    except BaseException as error:
        code = _signalled(error)
        if code is None:
            if isinstance(error, HearthError):
                fail(error, as_json=as_json)
            raise
        told = "Interrupted. The pages stored so far stand; run again to go on."
        _err.print(told)
        if as_json:
            print_json({"status": "interrupted", "error": told, "exit_code": code})
        leave_within(_WIND_UP_SECONDS, code)
        _close(runner.get_loop())  # SIGTERM is raised wherever the loop happens to be, and has ended nothing yet
        raise typer.Exit(code) from None
    return outcome


def _close(loop: asyncio.AbstractEventLoop) -> None:
    """End a loop's tasks and close it, as a runner does, but wait for no thread: one may hang in a call to AWS."""
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


def _signalled(error: BaseException | None) -> int | None:
    """The exit code if a signal is behind an error: Ctrl-C, or SIGTERM, of which Prefect makes an exception.

    It is raised wherever the program happens to be, in a group of tasks, too.
    """
    while error is not None:
        code = SIGNALS.get(type(error).__name__)
        if code is None and isinstance(error, BaseExceptionGroup):
            code = next(filter(None, map(_signalled, error.exceptions)), None)
        if code is not None:
            return code
        error = error.__cause__ or error.__context__
    return None


def fail(error: HearthError, *, as_json: bool) -> NoReturn:
    """Tell what went wrong in one line, and end the command."""
    _err.error(str(error))
    if as_json:
        print_json({"status": "error", "error": str(error), "exit_code": error.exit_code})
    raise typer.Exit(error.exit_code)


def print_json(outcome: dict[str, object]) -> None:
    """For a program."""
    write(json.dumps(outcome) + "\n")
