"""`hearth up` runs Prefect's commands again while Prefect's server is busy, and only then."""

from __future__ import annotations

import subprocess

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


def test_a_server_that_is_busy_for_a_while_is_asked_again(saying: list[str]):
    saying += [BUSY, BUSY]
    up._prefect(("deploy", "--all"), {})
    assert saying == []


def test_a_server_that_stays_busy_is_told(saying: list[str]):
    saying += [BUSY] * 4
    with pytest.raises(ServerError, match=r"`prefect deploy --all` failed: .*503"):
        up._prefect(("deploy", "--all"), {})
    assert saying == [BUSY]


def test_what_will_fail_again_is_told_at_once(saying: list[str]):
    saying += ["There is no such entrypoint.", "never said"]
    with pytest.raises(ServerError, match="There is no such entrypoint"):
        up._prefect(("deploy", "--all"), {})
    assert saying == ["never said"]
