"""Try a stack out: brought up, one page read on its cheapest machine, everything removed, within a sum of dollars.

The sum is a time: what the machine costs by the hour says for how long it may run. An alarm ends whatever goes on then,
what removes it included; on EC2 the machine itself goes at that time, too, though this process be gone.
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
    from infra_scripts.common.clients import Aws, Listener
    from infra_scripts.common.deployment import Deployment
    from tasks.results.manifest import Manifest

_TRIES = 3
_PAUSE_SECONDS = 10.0
_POLL_SECONDS = 3.0
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class TimeUpError(UnavailableError):
    """The trial took as long as its dollars last."""


@dataclass
class Trial:
    """How a trial went.

    Attributes:
        manifest: of the page that was read; None if none was.
        left: what could not be removed, by kind and name.
        usd: what all of it cost, at most.
        seconds: for which the machine was paid, at most.
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
    """Bring the stack up, have a page read, and remove everything, however it went; `trial` keeps how.

    Args:
        deployment: of the stack, which is not deployed.
        target: where the page is read.
        aws: the clients.
        listener: hears what goes on.
        reader: reads the page.
        prepare: what has to be done between the stack and the page, such as an image that is baked.
        trial: what is told afterwards, whatever was raised.

    Raises:
        TimeUpError: the dollars did not last.
        KeyboardInterrupt: it was interrupted.
        HearthError: the page could not be read.
        InfraError: the stack could not be brought up.
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
            paid_until = _end_machines(target, aws, listener)
            trial.left = _remove(deployment, aws, listener)
            trial.seconds = (paid_until or time.monotonic()) - began
            trial.usd = trial.seconds / 3600 * target.usd_per_hour + target.usd_at_launch


def _end_machines(target: Target, aws: Aws, listener: Listener) -> float | None:
    """End the pool's machines before all else, and return when that was done; None if it was not, or there are none."""
    if target.stack is not StackName.EC2:
        return None
    pool = target.settings.ec2.pool
    try:
        with explain_errors():
            terminate(aws, [machine.id for machine in machines(aws, pool)], listener, poll_seconds=_POLL_SECONDS)
    except InfraError as error:
        listener(str(error))
        return None
    return time.monotonic()


def _remove(deployment: Deployment, aws: Aws, listener: Listener) -> tuple[str, ...]:
    """Remove everything, and return what is left of it."""
    listener(f"Removing {deployment.teardown_summary}.")
    left: tuple[str, ...] = ()
    for at in range(_TRIES):
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
        if at < _TRIES - 1:
            time.sleep(_PAUSE_SECONDS)
    return left


@contextmanager
def _stopped_after(seconds: float) -> Iterator[None]:
    """Raise TimeUpError in what goes on after so long, and KeyboardInterrupt at each signal to end."""

    def time_up(_: int, __: FrameType | None) -> None:
        raise TimeUpError(
            f"The trial was stopped after {seconds / 60:.0f} minutes, as its dollars would not last much longer. "
            "Allow more with --max-usd."
        )

    def stop(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    with _handled({signal.SIGALRM: time_up, **dict.fromkeys(_STOPPING, stop)}):
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)


@contextmanager
def _undisturbed(listener: Listener) -> Iterator[None]:
    """Go on whatever signal comes: what is half removed would be paid for."""

    def tell(_: int, __: FrameType | None) -> None:
        with suppress(RuntimeError):  # it may be in the middle of a line
            listener("Everything is being removed; please wait.")

    with _handled({signal.SIGALRM: signal.SIG_IGN, **dict.fromkeys(_STOPPING, tell)}):
        yield


@contextmanager
def _handled(handlers: dict[signal.Signals, Any]) -> Iterator[None]:
    # One that is ignored, as SIGHUP is after nohup, stays so.
    wanted = {number: handler for number, handler in handlers.items() if signal.getsignal(number) != signal.SIG_IGN}
    before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
