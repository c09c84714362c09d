"""A run's final state is stored until Prefect has recorded it, and delivered by others after its process has ended."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prefect.logging import disable_run_logger
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Completed, State

from flows import process_batch
from flows.engine.outcomes import final_state
from flows.orchestrator import late_ends
from flows.orchestrator.late_ends import delete_end, on_recorded, release_lock, store_end, undelivered
from tasks.batches.batch import Batch
from tasks.core.errors import InputError
from tasks.results.report import Report
from tasks.settings.settings import load_settings

API = "http://prefect.lan:4200/api"
RUN = "3aba27d1-dd03-42b9-af4c-e7b7cb831c8f"


@pytest.fixture(autouse=True)
def in_a_run(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(late_ends, "this_run", SimpleNamespace(id=RUN))
    with temporary_settings({PREFECT_API_URL: API}), disable_run_logger():
        yield
    release_lock(RUN)


@pytest.fixture
def home() -> Path:
    return Path(os.environ["HEARTH_HOME"])


def ended(message: str = "2 pages read") -> None:
    store_end(Completed(name="Partial", message=message))


def written(home: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in home.glob("prefect-ends/*.json")]


def test_a_state_is_stored_with_the_address_of_its_server(home: Path):
    ended()
    state = {"type": "COMPLETED", "name": "Partial", "message": "2 pages read"}
    assert written(home) == [{"api": API, "state": state}]


def test_the_last_of_two_states_is_stored(home: Path):
    ended("while Prefect is sent the last artifacts")
    ended("2 pages read")
    assert [end["state"]["message"] for end in written(home)] == ["2 pages read"]


def test_the_state_of_a_batch_is_stored_before_its_report_is_sent_to_prefect(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """Sending the report waits for a server that is away, and a command's process may end meanwhile."""
    seen: list[list[dict[str, Any]]] = []

    async def shown(report: Report) -> None:
        seen.append(written(home))

    async def read(run: process_batch.BatchRun) -> Report:
        return Report(started_at=datetime.now(UTC), minutes=0, usd=0, rows=())

    monkeypatch.setattr(process_batch, "show_report", shown)
    monkeypatch.setattr(process_batch.BatchRun, "read", read)
    monkeypatch.setattr(process_batch, "Live", lambda *_, **__: nullcontext())
    batch = Batch(sources=(str(tmp_path),), output=str(tmp_path))
    asyncio.run(process_batch.read_batch(batch, load_settings()))
    assert [[end["state"]["type"] for end in ends] for ends in seen] == [["COMPLETED"]]


def test_the_failed_state_of_an_error_is_stored(home: Path):
    async def read() -> State[None]:
        raise InputError("There is no such page.")

    state = asyncio.run(final_state(read()))
    (end,) = written(home)
    assert state.message == "There is no such page."
    assert (end["state"]["type"], end["state"]["message"]) == ("FAILED", "There is no such page.")


def test_a_state_is_deleted_when_prefect_has_recorded_it(home: Path):
    ended()
    on_recorded(cast("Any", None), cast("Any", SimpleNamespace(id=RUN)), Completed())
    assert list(home.glob("prefect-ends/*")) == []


def test_the_state_of_an_earlier_attempt_is_deleted(home: Path):
    ended()
    delete_end(RUN)
    assert written(home) == []


def test_no_other_process_delivers_a_state_while_its_own_process_lives(home: Path):
    ended()
    assert undelivered(home, API) == []
    release_lock(RUN)  # as the end of the process does
    assert [path.stem for path in undelivered(home, API)] == [RUN]


def test_a_state_is_delivered_after_ten_minutes_even_if_its_process_lives(home: Path):
    ended()
    (path,) = home.glob("prefect-ends/*.json")
    os.utime(path, (time.time() - 601,) * 2)
    assert undelivered(home, API) == [path]


def test_a_state_is_delivered_only_to_its_own_server(home: Path):
    ended()
    release_lock(RUN)  # as the end of the process does
    assert undelivered(home, "http://127.0.0.1:4200/api") == []


@pytest.mark.parametrize("content", ["", "[]", '{"state": {}}', "\x00"])
def test_a_damaged_file_is_skipped(home: Path, content: str):
    ended()
    release_lock(RUN)  # as the end of the process does
    (path,) = home.glob("prefect-ends/*.json")
    path.write_text(content)
    assert undelivered(home, API) == []


def test_a_run_ends_even_if_its_state_cannot_be_stored(home: Path):
    home.write_text("a file in the place of the directory")
    ended()
    assert home.read_text() == "a file in the place of the directory"
    assert undelivered(home, API) == []
