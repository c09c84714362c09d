"""`hearth up` repeats its deployment while Prefect's server is busy, and only then."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.local import deployer as module
from flows.local.deployer import create, deployer
from tasks.core.errors import ServerError
from tests.support.environment import clean

BUSY = "prefect.exceptions.PrefectHTTPStatusError: Server error '503 Service Unavailable'"
FILE = Path("prefect.yaml")


@pytest.fixture
def saying(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """STAND-IN for Prefect's command: each call prints the next of these and fails; when none is left it succeeds."""
    left: list[str] = []
    monkeypatch.setattr(module, "_run", lambda _command: (int(bool(left)), left.pop(0) if left else ""))
    return left


def test_the_deployment_is_repeated_while_the_server_is_busy(saying: list[str]):
    saying += [BUSY, BUSY]
    assert create(FILE) is None
    assert saying == []


def test_a_server_that_stays_busy_is_an_error(saying: list[str]):
    saying += [BUSY] * 4
    assert create(FILE) == BUSY
    assert saying == [BUSY]


def test_of_another_error_the_last_line_is_returned_at_once(saying: list[str]):
    saying += ["A panel\nThere is no such entrypoint.\n", "never said"]
    assert create(FILE) == "There is no such entrypoint."
    assert saying == ["never said"]


def test_a_file_that_prefect_refuses_is_an_error_with_its_reason(tmp_path: Path):
    (tmp_path / "mine.yaml").write_text("deployments: [{name: mine}]")
    with (
        deployer(tmp_path / "mine.yaml") as deploying,
        pytest.raises(ServerError, match=r"`prefect --no-prompt deploy --all .*mine.yaml` failed: .*entrypoint"),
    ):
        deploying.deploy({**clean(), "PREFECT_API_URL": "http://127.0.0.1:9/api", "PREFECT_HOME": str(tmp_path)})


def test_its_process_ends_with_the_block(tmp_path: Path):
    with deployer(FILE) as deploying:
        pass
    with pytest.raises(ServerError, match="its process has ended"):
        deploying.deploy({})
