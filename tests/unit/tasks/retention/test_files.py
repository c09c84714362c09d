"""What may go, thing by thing: what somebody uses, or would have to pay for again, stays."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.batches.one_at_a_time import one_at_a_time
from tasks.core.file_locks import take_exclusive, take_shared
from tasks.retention.clean import clean_files, expired_files
from tasks.retention.expired import DAY_SECONDS, Kind, sweep
from tasks.settings.settings import Settings
from tests.support.nights import Nights


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "results"


@pytest.fixture
def expired(home: Path, output: Path) -> Callable[..., dict[Kind, int]]:
    """What goes, or would go, of each kind."""

    def found(*, dry_run: bool = False, **retention: Any) -> dict[Kind, int]:
        settings = Settings(home=home, output=output, retention=retention)
        return {
            tally.kind: tally.count for tally in sweep(expired_files(settings, output, time.time()), dry_run=dry_run)
        }

    return found


def old(path: Path, text: str = "old", days: float = 1000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    at = time.time() - days * DAY_SECONDS
    os.utime(path, (at, at))
    return path


def _age(output: Path) -> None:
    (lock,) = output.glob(".one-at-a-time/*/.lock")
    at = time.time() - 1000 * DAY_SECONDS
    os.utime(lock, (at, at))


def test_a_home_and_results_that_are_not_there_are_no_error(expired):
    assert expired() == {}


def test_a_dry_run_counts_and_deletes_nothing(expired, output: Path):
    for number in range(12):
        old(output / "batches" / f"20200101T0000{number:02d}.md")
    assert expired(dry_run=True) == {Kind.REPORTS: 2}
    assert expired() == {Kind.REPORTS: 2}
    assert expired() == {}


def test_the_newest_ten_reports_stay_however_old(expired, output: Path):
    reports = [old(output / "batches" / f"20200101T0000{number:02d}.md") for number in range(12)]
    tables = [old(report.with_suffix(".csv")) for report in reports]
    expired()
    assert [path.exists() for path in reports] == [path.exists() for path in tables] == [False] * 2 + [True] * 10


def test_what_else_lies_beside_reports_stays(expired, output: Path):
    for number in range(12):
        old(output / "batches" / f"20200101T0000{number:02d}.md")
    notes = old(output / "batches" / "my-notes.md")
    expired()
    assert notes.exists()


def test_a_copy_that_a_run_reads_stays(expired, home: Path):
    read, left = (old(home / "copies" / f"{name}.pdf") for name in ("read", "left"))
    lease = take_shared(read)
    assert expired() == {Kind.COPIES: 1}
    lease.release()
    assert (read.exists(), left.exists()) == (True, False)


def test_a_ledger_that_a_run_is_about_to_use_stays(expired, home: Path):
    ledger = old(home / "slots" / "0123.json", "{}")
    turn = take_exclusive(ledger.with_suffix(".lock"))
    assert expired() == {}
    turn.release()
    assert expired() == {Kind.LEFTOVERS: 1}


def test_the_log_of_a_server_that_runs_stays_and_that_of_one_that_ended_goes(expired, home: Path):
    logs = {name: old(home / "servers" / name / "server.log") for name in ("up", "ended")}
    alive = take_exclusive(home / "servers" / "up" / "alive.lock")
    assert expired() == {Kind.LEFTOVERS: 1}
    alive.release()
    assert {name: log.exists() for name, log in logs.items()} == {"up": True, "ended": False}


async def test_the_lock_of_a_nightly_batch_that_reads_stays(expired, output: Path):
    async with one_at_a_time(["inbox"], output):
        _age(output)
        assert expired() == {}
    assert expired() == {Kind.LEFTOVERS: 1}


@pytest.fixture
def nights(tmp_path: Path) -> Nights:
    """One night, long ago."""
    made = Nights(tmp_path, Settings(home=tmp_path / "home", output=tmp_path / "results"), documents=10)
    made.night(0)
    return made


def test_results_stay_for_ever_unless_it_is_asked_otherwise(nights: Nights, expired):
    for path in nights.inbox.rglob("*.pdf"):
        path.unlink()
    assert Kind.RESULTS not in expired()
    assert len(list(nights.output.glob("*/document.md"))) == 11


def test_results_whose_document_is_still_there_stay_for_they_would_be_paid_for_again(nights: Nights, expired):
    gone = sorted(nights.inbox.rglob("document-*.pdf"))[:4]
    for path in gone:
        path.unlink()
    assert expired(results_days=1)[Kind.RESULTS] == 4
    assert len(list(nights.output.glob("*/document.md"))) == 7


def test_results_that_a_run_is_about_to_write_stay(nights: Nights, expired):
    (path,) = nights.inbox.rglob("document-000.pdf")
    path.unlink()
    (results,) = nights.output.glob("document-000-*")
    turn = take_exclusive(results / ".lock")
    assert Kind.RESULTS not in expired(results_days=1)
    turn.release()
    assert expired(results_days=1)[Kind.RESULTS] == 1
    assert not results.exists()


def test_a_line_that_is_cut_off_is_dropped_and_what_is_not_known_stays_out_of_the_way(
    expired, output: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("tasks.retention.jsonl.LEAST_LINES", 1)
    lines = [json.dumps({"path": "/a.pdf", "version": version}) for version in ("one", "two")]
    old(output / "documents.jsonl", "\n".join([*lines, '{"path": "/b']))
    assert expired() == {Kind.INDEX: 2}
    assert (output / "documents.jsonl").read_text() == f"{lines[1]}\n"


def test_what_cannot_be_deleted_keeps_no_batch_from_its_end(home: Path, output: Path, monkeypatch: pytest.MonkeyPatch):
    for number in range(12):
        old(output / "batches" / f"20200101T0000{number:02d}.md")

    def refused(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refused)
    assert clean_files(Settings(home=home, output=output), output) == []
