"""Queued requests, which are not Prefect runs yet: named, limited, listed, cancelled and deleted like any other."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.states import Completed, Failed, Running, Scheduled

from flows.api.records import Record
from tasks.results.store import ResultStore
from tests.support import pdfs
from tests.support.waiting import until_async
from tests.unit.flows.api.application import Application, application

DOWN = 503


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("queue.POLL_SECONDS", "queue.LONGEST_PAUSE", "prefect_state.RETRY_SECONDS"):
        monkeypatch.setattr(f"flows.api.{name}", 0.01)
    monkeypatch.setattr("flows.api.followed.STATE_SECONDS", 0.0)


@pytest.fixture
def pdf(tmp_path: Path) -> bytes:
    return pdfs.written(tmp_path / "a.pdf", "One.").read_bytes()


@pytest.fixture
async def busy(tmp_path: Path) -> AsyncIterator[Application]:
    """The application while Prefect makes no runs, and answers so."""
    async with application(tmp_path) as api:
        api.prefect.busy = DOWN
        yield api


async def _posted(api: Application, pdf: bytes, name: str = "paper.pdf", **fields: str) -> dict[str, Any]:
    response = await api.client.post("/documents", files={"file": (name, pdf)}, data=fields)
    assert response.status_code == 202, response.text
    return response.json()


async def _cancelled(api: Application, view: dict[str, Any]) -> tuple[int, str]:
    response = await api.client.post(f"{view['links']['self']}/cancel")
    return response.status_code, response.json()["status"]


async def _deleted(api: Application, view: dict[str, Any]) -> int:
    return (await api.client.delete(view["links"]["self"])).status_code


async def _listed(api: Application, query: str = "") -> list[dict[str, Any]]:
    return (await api.client.get(f"/documents{query}")).json()["documents"]


def _runs(api: Application) -> list[Any]:
    return list(api.prefect.keys.values())


def _kept(api: Application) -> list[str]:
    kept = (path for name in ("documents", "queue", "results") for path in (api.directory / name).iterdir())
    return [path.name for path in kept if path.name != ".lock"]


async def test_a_queued_run_is_named_after_the_file_and_its_record_keeps_its_values(busy: Application, pdf: bytes):
    queued = await _posted(busy, pdf, "Minutes of May.pdf", pages="1")
    busy.prefect.busy = None
    view = await busy.submitted(queued["id"])
    (run,) = _runs(busy)
    assert (run.name, view["run"]) == ("Minutes of May, pages 1", str(run.id))
    assert {name: view[name] for name in ("id", "filename", "created", "sha256")} == {
        name: queued[name] for name in ("id", "filename", "created", "sha256")
    }
    assert queued["filename"] == "Minutes of May.pdf"


async def test_queued_requests_are_listed_as_waiting_without_a_call_to_prefect(busy: Application, pdf: bytes):
    queued = await _posted(busy, pdf)
    (listed,) = await _listed(busy, "?status=waiting")
    assert (listed["id"], listed["run"], listed["status"]) == (queued["id"], None, "waiting")
    assert await _listed(busy, "?status=unknown") == []


async def test_health_answers_while_the_queue_waits_for_prefect(busy: Application, pdf: bytes):
    busy.prefect.busy = 0
    await _posted(busy, pdf)
    await until_async(lambda: busy.prefect.created)
    assert (await busy.client.get("/health")).json() == {"status": "ok", "missing": []}


async def test_a_request_cancelled_in_the_queue_creates_no_run(busy: Application, pdf: bytes):
    queued = await _posted(busy, pdf)
    assert [await _cancelled(busy, queued) for _ in range(2)] == [(200, "cancelled")] * 2
    assert [path.name for path in (busy.directory / "queue").glob("*.json")] == []
    busy.prefect.busy = None
    other = await _posted(busy, pdf, pages="1")
    await busy.submitted(other["id"])  # so the queue has gone on
    assert [run.labels["hearth.request"] for run in _runs(busy)] == [other["id"]]
    assert [(each["id"], each["status"]) for each in await _listed(busy)][1] == (queued["id"], "cancelled")


async def test_an_equal_post_after_a_cancelled_one_is_a_new_request(busy: Application, pdf: bytes):
    queued = await _posted(busy, pdf)
    await _cancelled(busy, queued)
    busy.prefect.busy = None
    again = await _posted(busy, pdf)
    assert again["id"] != queued["id"]
    await busy.submitted(again["id"])
    assert len(_runs(busy)) == 1


async def test_a_run_created_while_its_request_is_cancelled_is_cancelled_too(busy: Application, pdf: bytes):
    busy.prefect.busy = 0
    queued = await _posted(busy, pdf)
    await until_async(lambda: busy.prefect.created)
    assert await _cancelled(busy, queued) == (200, "cancelled")
    busy.prefect.busy = None
    busy.prefect.silent.set()
    shown = await busy.submitted(queued["id"])
    assert (shown["status"], shown["run"]) == ("cancelled", str(_runs(busy)[0].id))
    assert busy.prefect.states[_runs(busy)[0].id].is_cancelled()


async def test_a_submitted_request_is_cancelled_in_prefect(busy: Application, pdf: bytes):
    busy.prefect.busy = None
    view = await busy.submitted((await _posted(busy, pdf))["id"])
    (run,) = _runs(busy)
    assert view["id"] != view["run"]
    busy.prefect.states[run.id] = Running()
    assert await _cancelled(busy, view) == (202, "cancelling")
    assert busy.prefect.states[run.id].is_cancelling()


async def test_a_queued_request_is_deleted_only_after_it_was_cancelled(busy: Application, pdf: bytes):
    queued = await _posted(busy, pdf)
    assert await _deleted(busy, queued) == 409
    await _cancelled(busy, queued)
    assert await _deleted(busy, queued) == 204
    assert _kept(busy) == []
    assert await _listed(busy) == []
    assert await _deleted(busy, queued) == 404


async def test_a_deleted_request_does_not_return_when_prefect_responds(busy: Application, pdf: bytes):
    busy.prefect.busy = 0
    queued = await _posted(busy, pdf)
    await until_async(lambda: busy.prefect.created)
    await _cancelled(busy, queued)
    assert await _deleted(busy, queued) == 204
    busy.prefect.busy = None
    busy.prefect.silent.set()
    await until_async(lambda: [run for run in _runs(busy) if busy.prefect.states[run.id].is_cancelled()])
    assert await _listed(busy) == []
    assert _kept(busy) == []


async def test_the_document_of_another_queued_request_is_kept(busy: Application, pdf: bytes):
    first, other = await _posted(busy, pdf), await _posted(busy, pdf, pages="1")
    await _cancelled(busy, first)
    assert await _deleted(busy, first) == 204
    assert (busy.directory / "documents" / f"{other['sha256']}.pdf").exists()


async def test_deleting_a_cancelled_forced_request_keeps_the_results_of_others(busy: Application, pdf: bytes):
    busy.prefect.busy = None
    first = await busy.submitted((await _posted(busy, pdf, force="true"))["id"])
    (run,) = _runs(busy)
    busy.prefect.states[run.id] = Completed()
    results = busy.service.runs.record(_uuid(first)).output
    ResultStore(results).prepare()
    busy.prefect.busy = DOWN
    second = await _posted(busy, pdf, force="true")
    await _cancelled(busy, second)
    assert await _deleted(busy, second) == 204
    assert (results / "pages").exists()


async def test_a_request_whose_results_were_removed_creates_another_run(busy: Application, pdf: bytes):
    busy.prefect.busy = None
    first = await busy.submitted((await _posted(busy, pdf))["id"])
    busy.prefect.states[_runs(busy)[0].id] = Completed()
    again = await busy.submitted((await _posted(busy, pdf))["id"])
    assert (again["run"] != first["run"], again["id"] != first["id"], len(_runs(busy))) == (True, True, 2)


@pytest.mark.parametrize("state", [Scheduled(), Running(), Completed()], ids=str)
async def test_an_equal_post_finds_a_run_of_an_earlier_version_under_its_id(busy: Application, pdf: bytes, state: Any):
    """Its id is that of Prefect, and it is not in the queue."""
    busy.prefect.busy = None
    view = await busy.submitted((await _posted(busy, pdf))["id"])
    (run,) = _runs(busy)
    facts = json.loads((busy.directory / "runs" / f"{view['id']}.json").read_text()) | {"id": view["run"]}
    facts = {name: fact for name, fact in facts.items() if name not in {"run", "generation"}}
    busy.service.runs.remove(_uuid(view))
    busy.service.runs.store(Record.model_validate(facts))
    ResultStore(Path(facts["output"])).prepare()
    busy.prefect.states[run.id] = state
    again = await busy.client.post("/documents", files={"file": ("paper.pdf", pdf)})
    assert (again.json()["id"], again.json()["run"], len(_runs(busy))) == (str(run.id), str(run.id), 1)


async def test_the_webhook_of_a_request_cancelled_in_the_queue_is_sent(busy: Application, pdf: bytes):
    queued = _uuid(await _posted(busy, pdf))
    before = (await busy.service.runs.states([queued]))[queued]
    busy.service.accepted.withdraw(busy.service.runs.record(queued))
    after = (await busy.service.runs.states([queued]))[queued]
    assert (before.is_final(), after.is_final()) == (False, True)


async def test_a_queued_request_survives_a_crash_between_its_two_files(tmp_path: Path, pdf: bytes):
    """The request is on disk, but not its record."""
    async with application(tmp_path) as api:
        api.prefect.busy = DOWN
        queued = await _posted(api, pdf, "paper.pdf")
        (api.directory / "runs" / f"{queued['id']}.json").unlink()
        api.prefect.busy = None
        await until_async(lambda: _runs(api))
        assert (await until_async(lambda: api.service.runs.record(_uuid(queued)))).filename == "paper.pdf"


async def test_the_run_after_a_failed_one_has_the_next_generation(busy: Application, pdf: bytes):
    busy.prefect.busy = None
    await busy.submitted((await _posted(busy, pdf))["id"])
    busy.prefect.states[_runs(busy)[0].id] = Failed()
    second = await busy.submitted((await _posted(busy, pdf))["id"])
    assert busy.service.runs.record(_uuid(second)).generation == 1


def _uuid(view: dict[str, Any]) -> UUID:
    return UUID(view["id"])
