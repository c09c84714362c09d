"""Smoke-test a stack within a budget: deploy it, read one page on its cheapest machine, and remove everything.

The budget and the machine's price per hour give a time limit. An alarm stops the work in time for the removal. On EC2
the machine then also ends itself, even if this process has died.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from flows.stacks.registry import StackName
from infra_scripts.common.clients import explain_errors
from infra_scripts.common.errors import InfraError, LeftoverError
from infra_scripts.common.instances import machines, terminate
from tasks.core.errors import HearthError, UnavailableError
from tasks.results.store import ResultStore

if TYPE_CHECKING:
    from flows.local.smoke_target import Target
    from flows.stacks.base import Deployment
    from infra_scripts.common.clients import Aws, Listener
    from tasks.results.manifest import Manifest

_READER_SECONDS = 30.0
_REMOVAL_ATTEMPTS = 3
PAUSE_SECONDS = 10.0
_POLL_SECONDS = 3.0
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class TimeUpError(UnavailableError):
    """The test used up the time that its budget pays for."""


@dataclass
class PageReader:
    """A process that reads the first page of the sample on a backend."""

    target: Target
    _process: subprocess.Popen[str] | None = None
    _directory: tempfile.TemporaryDirectory[str] | None = field(default=None, repr=False)

    def read(self) -> Manifest:
        """Read the page, and return the run's manifest; raise UnavailableError with the run's message if that fails."""
        from tasks.documents.sample import write_sample

        self._directory = tempfile.TemporaryDirectory(prefix="hearth-smoke-")
        directory = Path(self._directory.name)
        write_sample(directory / "sample.pdf")
        command = [sys.executable, "-P", "-m", "flows.cli.main", "read", str(directory / "sample.pdf")]
        options = {"--output": directory / "results", **self.target.read_options}
        # In a session of its own, so that Ctrl-C at the terminal does not reach it before `stop` does.
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            [*command, *(str(part) for pair in options.items() for part in pair), "--force", "--json"],
            env={**os.environ, **self.target.environment},
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        out, _ = self._process.communicate()
        outcome = _last_json(out)
        if self._process.returncode != 0:
            details = [failure.get("detail") for failure in outcome.get("failures", ())]
            why = next(filter(None, (outcome.get("error"), *details)), "see the messages above")
            raise UnavailableError(f"The page was not read: {why}")
        manifest = ResultStore(Path(str(outcome["output"]))).manifest()
        if manifest is None or manifest.pages.read != 1:
            raise UnavailableError("The page was not read: the run's manifest does not list it as read.")
        return manifest

    def stop(self) -> None:
        """End the process if it still runs, and delete what it stored."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(_READER_SECONDS)
            except subprocess.TimeoutExpired:
                with suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
        if self._directory is not None:
            self._directory.cleanup()


@dataclass
class Trial:
    """The outcome of a smoke test.

    Attributes:
        manifest: of the page that was read; None if none was.
        left: kind and name of everything that could not be removed.
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
    A budget that is used up raises TimeUpError.
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
    """Terminate the pool's machines, and return the time of that; None if it failed or there is no pool."""
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
            time.sleep(PAUSE_SECONDS)
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


def _last_json(out: str) -> dict[str, Any]:
    """Return the last line of an output if it is a JSON object, else an empty one."""
    with suppress(ValueError, IndexError):
        value = json.loads(out.strip().splitlines()[-1])
        return value if isinstance(value, dict) else {}
    return {}
