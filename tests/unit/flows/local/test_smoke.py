"""A smoke test of a stack removes everything that it created, whatever happens, and stays within its budget."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any, cast

import pytest

from flows.local import smoke
from flows.local.smoke import TimeUpError, Trial, run_trial
from flows.local.smoke_target import Target
from flows.stacks.registry import StackName
from infra_scripts.common.errors import AccessError, LeftoverError, StackError
from tasks.core.errors import UnavailableError
from tasks.settings.settings import Settings

SUMMARY = "the endpoint hearth-smoke"


class Deployment:
    """A stack that notes what is done to it."""

    teardown_summary, name = SUMMARY, "hearth-smoke"

    def __init__(self, up: Callable[[], None] = lambda: None, down: Callable[[], None] = lambda: None) -> None:
        self.done: list[str] = []
        self._up, self._down = up, down

    def up(self, *_: object) -> tuple[str, ...]:
        self.done.append("up")
        self._up()
        return ()

    def down(self, *_: object, force: bool) -> tuple[str, ...]:
        assert force
        self._down()
        self.done.append("down")
        return ()


class Reader:
    """Reads a page, or does what is scripted instead."""

    def __init__(self, read: Callable[[], Any] = lambda: "manifest") -> None:
        self.read, self.stopped = read, False

    def stop(self) -> None:
        self.stopped = True


def target(work_seconds: float = 600.0) -> Target:
    return Target(
        stack=StackName.SAGEMAKER,
        settings=Settings(),
        environment={},
        instance_type="ml.g4dn.xlarge",
        model="qwen2.5vl:7b",
        usd_per_hour=0.7,
        usd_at_launch=0.0,
        work_seconds=work_seconds,
        num_ctx=8192,
        read_options={},
    )


def run(deployment: Deployment, reader: Reader, *, work_seconds: float = 600.0) -> Trial:
    trial = Trial()
    given = cast("Any", deployment), target(work_seconds), cast("Any", None), lambda _: None, cast("Any", reader)
    try:
        run_trial(*given, lambda: None, trial)
    finally:
        run.trial = trial  # type: ignore[attr-defined]  # for those who expect an error
    return trial


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smoke, "PAUSE_SECONDS", 0.0)


def failing(error: Exception, times: int = 1_000) -> Callable[[], None]:
    left = [times]

    def fail() -> None:
        left[0] -= 1
        if left[0] >= 0:
            raise error

    return fail


def test_a_page_is_read_between_deployment_and_removal():
    deployment, reader = Deployment(), Reader()
    trial = run(deployment, reader)
    assert (deployment.done, trial.manifest, trial.left) == (["up", "down"], "manifest", ())
    assert trial.usd == pytest.approx(trial.seconds / 3600 * 0.7)
    assert reader.stopped


@pytest.mark.parametrize(
    ("deployment", "reader", "error"),
    [
        (Deployment(up=failing(StackError("rolled back"))), Reader(), StackError),
        (Deployment(), Reader(failing(UnavailableError("no page"))), UnavailableError),
        (Deployment(), Reader(failing(RuntimeError("a bug"))), RuntimeError),
    ],
)
def test_a_failed_test_removes_the_stack(deployment: Deployment, reader: Reader, error: type[Exception]):
    with pytest.raises(error):
        run(deployment, reader)
    assert deployment.done == ["up", "down"]
    assert reader.stopped


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_test_removes_the_stack_despite_further_signals(number: signal.Signals):
    def signalled() -> None:
        os.kill(os.getpid(), number)

    deployment = Deployment(down=signalled)
    outside = signal.signal(number, signal.SIG_DFL)  # under nohup, SIGHUP is ignored
    try:
        with pytest.raises(KeyboardInterrupt):
            run(deployment, Reader(signalled))
        assert deployment.done == ["up", "down"]
        assert signal.getsignal(number) == signal.SIG_DFL
    finally:
        signal.signal(number, outside)


def test_a_spent_budget_ends_the_test():
    deployment = Deployment()
    with pytest.raises(TimeUpError, match="--max-usd"):
        run(deployment, Reader(signal.pause), work_seconds=0.05)
    assert deployment.done == ["up", "down"]


def test_a_spent_budget_ends_the_deployment():
    deployment = Deployment(up=signal.pause)
    with pytest.raises(TimeUpError):
        run(deployment, Reader(), work_seconds=0.05)
    assert deployment.done == ["up", "down"]


def test_a_refused_removal_is_repeated():
    trial = run(Deployment(down=failing(AccessError("throttled"), times=1)), Reader())
    assert trial.left == ()


def test_leftovers_are_listed():
    left = LeftoverError("The pool smoke", ("machine i-1",), "AWS refuses")
    assert run(Deployment(down=failing(left)), Reader()).left == ("machine i-1",)
    trial = run(Deployment(down=failing(AccessError("denied"))), Reader())
    assert trial.left == ("stack hearth-smoke and what it made, as far as is known",)
