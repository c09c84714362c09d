"""A year in Prefect's database: what Hearth's own server holds after it, and after `hearth clean`.

`python -m tests.benchmarks.year_in_prefect [DAYS] [DOCUMENTS]`, by default 365 days of 288 sweeps and a batch of 200
documents, each a task run. The server is real, and so is one run of each flow. The others are SIMULATED: copies of
these in its SQLite file, with dates of their own; they have three log lines each.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from flows.local.clean import clean
from tasks.settings.settings import load_settings
from tests.benchmarks.servers import prefect_server

_SWEEPS_A_DAY, _LOGS = 288, 3
_TRIES = 20
_TABLES = ("flow_run", "flow_run_state", "task_run", "log")


def main(days: int, documents: int) -> None:
    """Fill the database, measure, clean, and measure again."""
    table = Table("", *_TABLES, "MB in use", "a run made and ended, ms", "clean, s")
    with tempfile.TemporaryDirectory(prefix="hearth-year-") as name, prefect_server(Path(name)) as server:
        database = Path(name) / "prefect" / "prefect.db"
        table.add_row("new", *_row(database, server.url))
        _fill(database, server.url, days, documents)
        table.add_row(f"after {days} days", *_row(database, server.url))
        settings = load_settings()
        since = time.perf_counter()
        asyncio.run(clean(settings, settings.output, dry_run=False))
        seconds = time.perf_counter() - since
        _settled(lambda: _count(database, "log"))
        table.add_row("cleaned", *_row(database, server.url), f"{seconds:.1f}")
    Console(width=None if sys.stdout.isatty() else 140).print(table)


def _row(database: Path, api: str) -> list[str]:
    counts = [f"{_count(database, table)}" for table in _TABLES]
    with closing(sqlite3.connect(database)) as db:
        pages, free, size = (
            db.execute(f"PRAGMA {what}").fetchone()[0] for what in ("page_count", "freelist_count", "page_size")
        )
    took = []
    for _ in range(_TRIES):
        since = time.perf_counter()
        _ended_run(api, "sweep-machines")
        took.append(time.perf_counter() - since)
    return [*counts, f"{(pages - free) * size / 1e6:.0f}", f"{sorted(took)[_TRIES // 2] * 1000:.0f}"]


def _count(database: Path, table: str) -> int:
    with closing(sqlite3.connect(database)) as db:
        return int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def _settled(look: Callable[[], int]) -> None:
    """Wait until what the server deletes afterwards is deleted."""
    before = -1
    while (now := look()) != before:
        before = now
        time.sleep(5)


def _ended_run(api: str, flow: str) -> tuple[str, str]:
    """A run of a flow that has completed, and a task run of it."""
    with httpx.Client(base_url=api, timeout=120) as client:

        def post(path: str, **asked: Any) -> dict[str, Any]:
            while (answer := client.post(path, json=asked)).status_code == httpx.codes.SERVICE_UNAVAILABLE:
                time.sleep(0.5)  # its database is locked
            found: dict[str, Any] = answer.raise_for_status().json()
            return found

        flow_id = post("/flows/", name=flow)["id"]
        run = post("/flow_runs/", flow_id=flow_id, state={"type": "PENDING"})["id"]
        for state in ("RUNNING", "COMPLETED"):
            post(f"/flow_runs/{run}/set_state", state={"type": state})
        task = post("/task_runs/", flow_run_id=run, task_key="read", dynamic_key="1", state={"type": "COMPLETED"})["id"]
    return str(run), str(task)


def _fill(database: Path, api: str, days: int, documents: int) -> None:
    (sweep, _), (batch, task) = (_ended_run(api, flow) for flow in ("sweep-machines", "process-batch"))
    now = datetime.now(UTC)
    nights = [now - timedelta(days=day, hours=1) for day in range(days)]
    sweeps = [night - timedelta(minutes=5 * each) for night in nights for each in range(_SWEEPS_A_DAY)]
    with closing(sqlite3.connect(database, timeout=60)) as db, db:
        db.row_factory = sqlite3.Row
        ids = {at: uuid.uuid4() for at in nights}
        _copied(db, "flow_run", sweep, ((uuid.uuid4(), at, {}) for at in sweeps))
        _copied(db, "flow_run", batch, ((run, at, {}) for at, run in ids.items()))
        tasks = (
            (uuid.uuid4(), at, {"flow_run_id": str(run), "dynamic_key": f"{each}"})
            for at, run in ids.items()
            for each in range(documents)
        )
        _copied(db, "task_run", task, tasks)
        states = db.execute("SELECT id, flow_run_id FROM flow_run_state").fetchall()
        runs = [row["id"] for row in db.execute("SELECT id FROM flow_run")]
        for number, state in enumerate(row["id"] for row in states if row["flow_run_id"] == sweep):
            at = now + timedelta(seconds=number)  # a run has no two states of one time
            _copied(db, "flow_run_state", state, [(uuid.uuid4(), at, {"flow_run_id": run}) for run in runs])
        columns = "(id, name, level, flow_run_id, message, timestamp)"
        lines = ((str(uuid.uuid4()), "run", 20, run, "looked", _written(now)) for run in runs for _ in range(_LOGS))
        db.executemany(f"INSERT INTO log {columns} VALUES (?, ?, ?, ?, ?, ?)", lines)


def _copied(
    db: sqlite3.Connection, table: str, of: str, copies: Iterable[tuple[uuid.UUID, datetime, dict[str, str]]]
) -> None:
    row = dict(db.execute(f"SELECT * FROM {table} WHERE id = ?", (of,)).fetchone())
    times = [
        name for name in row if name.endswith(("_time", "_timestamp")) or name in {"timestamp", "created", "updated"}
    ]
    dated = [name for name in times if row[name] is not None and "run_time" not in name]
    gone = {name: None for name in ("idempotency_key", "state_id") if name in row}
    marks = ", ".join("?" * len(row))
    rows = (
        tuple({**row, **gone, "id": str(copy), **dict.fromkeys(dated, _written(at)), **changes}.values())
        for copy, at, changes in copies
    )
    db.executemany(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", rows)


def _written(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S.%f}"


if __name__ == "__main__":
    main(*[int(each) for each in sys.argv[1:] or ("365", "200")])
