"""`hearth up` repeats its deployment while Prefect's server is busy, and only then."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from flows.local import bring_up as up
from tasks.core.errors import ServerError

BUSY = "prefect.exceptions.PrefectHTTPStatusError: Server error '503 Service Unavailable'"


@pytest.fixture
def saying(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """STAND-IN for Prefect's commands: each says the next of these and fails, and when none is left it succeeds."""
    left: list[str] = []

    def run(*_: object, **__: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], int(bool(left)), "", left.pop(0) if left else "")

    monkeypatch.setattr(up.subprocess, "run", run)
    return left


def test_the_deployment_is_repeated_while_the_server_is_busy(saying: list[str]):
    saying += [BUSY, BUSY]
    up.deploy(Path("prefect.yaml"), {})
    assert saying == []


def test_a_server_that_stays_busy_is_an_error(saying: list[str]):
    saying += [BUSY] * 4
    with pytest.raises(ServerError, match=r"`prefect --no-prompt deploy --all .*` failed: .*503"):
        up.deploy(Path("prefect.yaml"), {})
    assert saying == [BUSY]


def test_another_error_is_raised_at_once(saying: list[str]):
    saying += ["There is no such entrypoint.", "never said"]
    with pytest.raises(ServerError, match="There is no such entrypoint"):
        up.deploy(Path("prefect.yaml"), {})
    assert saying == ["never said"]
