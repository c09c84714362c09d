"""A PREFECT_HOME of Prefect 3.8.8 under today's Prefect.

The database is real: Prefect 3.8.8 wrote it for `hearth up`, one document that was read, Hearth's automations, and a
secret, a variable and two limits of a user's own. Paths and host names in it were replaced.
"""

from __future__ import annotations

import lzma
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.support import forkserver
from tests.support.commands import ROOT
from tests.support.prefect_home import prefect_server
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.long("starts a Prefect server on a database of the version before: 6 s a test")

OLD = Path(__file__).with_name("prefect-3.8.8.sql.xz")
OURS = {"process-document", "process-batch", "plan-costs", "idle-shutdown", "sweep-machines"}

Rows = dict[str, list[tuple[object, ...]]]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    directory = tmp_path / "prefect"
    directory.mkdir()
    with closing(sqlite3.connect(directory / "prefect.db")) as database:
        database.executescript(lzma.decompress(OLD.read_bytes()).decode())
    return directory


@pytest.fixture
def environment(home: Path) -> dict[str, str]:
    services = ("SCHEDULER", "LATE_RUNS", "TRIGGERS", "FOREMAN", "CANCELLATION_CLEANUP", "PAUSE_EXPIRATIONS")
    quiet = {f"PREFECT_SERVER_SERVICES_{service}_ENABLED": "false" for service in services}  # nothing but the upgrade
    return {**os.environ, **quiet, "PREFECT_HOME": str(home), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}


@pytest.fixture
def api(home: Path, environment: dict[str, str]) -> Iterator[str]:
    """A server over it."""
    with prefect_server(home, environment) as (url, _):
        yield url


@pytest.mark.always
def test_the_upgrade_keeps_every_row(home: Path, environment: dict[str, str]):
    columns = _columns(home)
    before = _rows(home, columns)
    forkserver.run("prefect", "server", "database", "upgrade", "--yes", cwd=ROOT, env=environment)
    after = _rows(home, columns)
    assert after.pop("alembic_version") != before.pop("alembic_version")
    assert after == before
    assert len(after["flow_run"]) == 17


def test_deployments_runs_and_the_users_own_objects_are_kept(api: str):
    def found(kind: str) -> list[dict]:
        return httpx.post(f"{api}/{kind}/filter", json={}, timeout=PATIENCE).raise_for_status().json()

    assert {flow["name"] for flow in found("flows")} == OURS
    assert len(found("deployments")) == 6
    assert [run["state_name"] for run in found("flow_runs")].count("Completed") == 1
    assert len(found("artifacts")) == 5
    assert {each["name"] for each in found("automations")} == {"Hearth: a run failed", "Hearth: a run vanished"}
    assert [(each["name"], each["value"]) for each in found("variables")] == [("kept_variable", "42")]
    limits = {each["name"] for each in found("v2/concurrency_limits")}
    assert {"kept-limit", "tag:kept-tag"} <= limits


def test_a_secret_can_still_be_read(api: str):
    documents = {"include_secrets": True, "block_documents": {"name": {"any_": ["kept-secret"]}}}
    (secret,) = httpx.post(f"{api}/block_documents/filter", json=documents, timeout=PATIENCE).raise_for_status().json()
    assert secret["data"] == {"value": "migrates"}


def _columns(home: Path) -> dict[str, str]:
    """The columns of each table."""
    with closing(sqlite3.connect(home / "prefect.db")) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            table: ", ".join(f'"{column[1]}"' for column in database.execute(f'PRAGMA table_info("{table}")'))
            for table in tables
        }


def _rows(home: Path, columns: dict[str, str]) -> Rows:
    with closing(sqlite3.connect(home / "prefect.db")) as database:
        return {
            table: sorted(database.execute(f'SELECT {names} FROM "{table}"').fetchall(), key=repr)
            for table, names in columns.items()
        }
