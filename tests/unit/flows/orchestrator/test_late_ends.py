"""How a run ends is written down until Prefect has noted it, and told by others only when its process has gone."""

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
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Completed

from flows import process_batch
from flows.orchestrator import late_ends
from flows.orchestrator.late_ends import end_written_down, forget_end, undelivered
from tasks.batches.batch import Batch
from tasks.core.errors import InputError
from tasks.results.report import Report
from tasks.settings.settings import load_settings

API = "http://prefect.lan:4200/api"
RUN = "3aba27d1-dd03-42b9-af4c-e7b7cb831c8f"


@pytest.fixture(autouse=True)
def in_a_run(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(late_ends, "this_run", SimpleNamespace(id=RUN))
    monkeypatch.setattr(late_ends, "_held", {})
    with temporary_settings({PREFECT_API_URL: API}):
        yield


@pytest.fixture
def home() -> Path:
    return Path(os.environ["HEARTH_HOME"])


def ended(message: str = "2 pages read") -> None:
    with end_written_down() as written_down:
        written_down(Completed(name="Partial", message=message))


def process_goes() -> None:
    """What becomes of the lock of a process that has ended."""
    late_ends._held.popitem()[1].release()


def written(home: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in home.glob("prefect-ends/*.json")]


def test_the_state_is_written_down_with_the_server_that_should_have_it(home: Path):
    ended()
    state = {"type": "COMPLETED", "name": "Partial", "message": "2 pages read"}
    assert written(home) == [{"api": API, "state": state}]


def test_of_two_states_the_last_is_its_end(home: Path):
    with end_written_down() as written_down:
        written_down(Completed(message="while Prefect is shown the last of it"))
        written_down(Completed(message="2 pages read"))
    assert [end["state"]["message"] for end in written(home)] == ["2 pages read"]


def test_that_of_a_batch_is_written_down_before_prefect_is_shown_its_report(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """A server that is away is waited for while it is shown: the process of a command ends meanwhile."""
    seen: list[list[dict[str, Any]]] = []

    async def shown(report: Report) -> None:
        seen.append(written(home))

    async def read(run: process_batch._Run) -> Report:
        return Report(started_at=datetime.now(UTC), minutes=0, usd=0, rows=())

    monkeypatch.setattr(process_batch, "show_report", shown)
    monkeypatch.setattr(process_batch._Run, "read", read)
    monkeypatch.setattr(process_batch, "Live", lambda *_, **__: nullcontext())
    batch = Batch(sources=(str(tmp_path),), output=str(tmp_path))
    with end_written_down() as written_down:
        asyncio.run(process_batch.read_batch(batch, load_settings(), written_down))
    assert [[end["state"]["type"] for end in ends] for ends in seen] == [["COMPLETED"]]


def test_an_error_is_written_down_as_it_passes(home: Path):
    with pytest.raises(InputError), end_written_down():
        raise InputError("There is no such page.")
    (end,) = written(home)
    assert (end["state"]["type"], end["state"]["message"]) == ("FAILED", "There is no such page.")


def test_it_is_forgotten_when_prefect_has_noted_it(home: Path):
    ended()
    forget_end(cast("Any", None), cast("Any", SimpleNamespace(id=RUN)), Completed())
    assert list(home.glob("prefect-ends/*")) == []


def test_that_of_an_earlier_try_is_forgotten(home: Path):
    ended()
    with end_written_down():
        assert written(home) == []


def test_nobody_else_tells_it_while_its_process_may(home: Path):
    ended()
    assert undelivered(home, API) == []
    process_goes()
    assert [path.stem for path in undelivered(home, API)] == [RUN]


def test_a_process_that_lives_on_is_not_waited_for_for_ever(home: Path):
    ended()
    (path,) = home.glob("prefect-ends/*.json")
    os.utime(path, (time.time() - 601,) * 2)
    assert undelivered(home, API) == [path]


def test_it_is_told_to_its_own_server_alone(home: Path):
    ended()
    process_goes()
    assert undelivered(home, "http://127.0.0.1:4200/api") == []


@pytest.mark.parametrize("content", ["", "[]", '{"state": {}}', "\x00"])
def test_what_is_damaged_is_left_alone(home: Path, content: str):
    ended()
    process_goes()
    (path,) = home.glob("prefect-ends/*.json")
    path.write_text(content)
    assert undelivered(home, API) == []


def test_where_nothing_can_be_kept_the_run_ends_all_the_same(home: Path):
    home.write_text("a file in the place of the directory")
    ended()
    assert home.read_text() == "a file in the place of the directory"
    assert undelivered(home, API) == []
