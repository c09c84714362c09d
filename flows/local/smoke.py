"""Smoke-test a stack within a budget: deploy it, read one page on its cheapest machine, and remove everything.

The budget becomes a time limit by the machine's price per hour. An alarm stops the work in time for the removal. On EC2
the machine also ends itself then, even if this process has died.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any

from flows.local.smoke_page import PageReader
from flows.stacks.registry import StackName
from infra_scripts.common.clients import explain_errors
from infra_scripts.common.errors import InfraError, LeftoverError
from infra_scripts.common.instances import machines, terminate
from tasks.core.errors import HearthError, UnavailableError

if TYPE_CHECKING:
    from flows.local.smoke_target import Target
    from flows.stacks.base import Deployment
    from infra_scripts.common.clients import Aws, Listener
    from tasks.results.manifest import Manifest

_REMOVAL_ATTEMPTS = 3
_PAUSE_SECONDS = 10.0
_POLL_SECONDS = 3.0
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class TimeUpError(UnavailableError):
    """The test used up the time that its budget pays for."""


@dataclass
class Trial:
    """The outcome of a smoke test.

    Attributes:
        manifest: of the page that was read; None if none was.
        left: what could not be removed, by kind and name.
        usd: upper bound of the total cost.
        seconds: upper bound of the machine's paid time.
    """

    manifest: Manifest | None = None
    left: tuple[str, ...] = ()
    usd: float = 0.0
    seconds: float = 0.0


def run_trial(
    deployment: Deployment,
    target: Target,
    aws: Aws,
    listener: Listener,
    reader: PageReader,
    prepare: Callable[[], None],
    trial: Trial,
) -> None:
    """Deploy the stack, read a page, and remove everything, whether the page was read or not.

    `prepare` runs between the deployment and the page, for example to bake an image. `trial` receives the outcome, also
    if an error is raised. The listener receives progress messages.

    Raises:
        TimeUpError: the budget was used up.
        KeyboardInterrupt: the test was interrupted.
        HearthError: the page could not be read.
        InfraError: the stack could not be deployed.
    """
    began = time.monotonic()
    try:
        with _stopped_after(target.work_seconds):
            deployment.up(aws, listener)
            prepare()
            trial.manifest = reader.read()
    finally:
        with _undisturbed(listener):
            reader.stop()
            paid_until = _terminate_machines(target, aws, listener)
            trial.left = _remove(deployment, aws, listener)
            trial.seconds = (paid_until or time.monotonic()) - began
            trial.usd = trial.seconds / 3600 * target.usd_per_hour + target.usd_at_launch


def _terminate_machines(target: Target, aws: Aws, listener: Listener) -> float | None:
    """Terminate the pool's machines first, and return when that was done; None if it failed or there is no pool."""
    if target.stack is not StackName.EC2:
        return None
    try:
        with explain_errors():
            ids = [machine.id for machine in machines(aws, target.settings.ec2.pool)]
            terminate(aws, ids, listener, poll_seconds=_POLL_SECONDS)
    except InfraError as error:
        listener(str(error))
        return None
    return time.monotonic()


def _remove(deployment: Deployment, aws: Aws, listener: Listener) -> tuple[str, ...]:
    """Remove everything, and return the names of what is left."""
    listener(f"Removing {deployment.teardown_summary}.")
    left: tuple[str, ...] = ()
    for attempt in range(_REMOVAL_ATTEMPTS):
        if attempt:
            time.sleep(_PAUSE_SECONDS)
        try:
            deployment.down(aws, listener, force=True)
        except LeftoverError as error:
            left = error.left or (str(error),)
            listener(str(error))
        except (InfraError, HearthError) as error:
            left = (f"stack {deployment.name} and what it made, as far as is known",)
            listener(str(error))
        else:
            return ()
    return left


@contextmanager
def _stopped_after(seconds: float) -> Iterator[None]:
    """Raise TimeUpError in the body after a time, and KeyboardInterrupt at each signal that asks it to stop."""

    def time_up(_: int, __: FrameType | None) -> None:
        raise TimeUpError(
            f"The test was stopped after {seconds / 60:.0f} minutes, because its budget was nearly used up. "
            "Allow more with --max-usd."
        )

    def stop(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    with _handled({signal.SIGALRM: time_up, **dict.fromkeys(_STOP_SIGNALS, stop)}):
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)


@contextmanager
def _undisturbed(listener: Listener) -> Iterator[None]:
    """Finish the body whatever signal arrives: a half-removed stack would go on costing money."""

    def ask_to_wait(_: int, __: FrameType | None) -> None:
        with suppress(RuntimeError):  # the signal may interrupt a write to the terminal
            listener("Everything is being removed; please wait.")

    with _handled({signal.SIGALRM: signal.SIG_IGN, **dict.fromkeys(_STOP_SIGNALS, ask_to_wait)}):
        yield


@contextmanager
def _handled(handlers: dict[signal.Signals, Any]) -> Iterator[None]:
    """Install signal handlers. An ignored signal, as SIGHUP after nohup, stays ignored."""
    active = {number: handler for number, handler in handlers.items() if signal.getsignal(number) != signal.SIG_IGN}
    before = {number: signal.signal(number, handler) for number, handler in active.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
