"""Runs are listed, cancelled and deleted."""

from __future__ import annotations

from uuid import uuid4

import pytest
from prefect.states import Cancelled, Cancelling, Completed, Crashed, Failed, Running, Scheduled

from tasks.core.file_locks import take_exclusive, take_shared
from tests.unit.flows.api.application import Application


async def _listed(api: Application, path: str) -> tuple[list[str], str | None]:
    response = await api.client.get(path)
    assert response.status_code == 200, response.text
    return [each["id"] for each in response.json()["documents"]], response.json()["next"]


async def _all(api: Application, path: str) -> list[str]:
    found, following = await _listed(api, path)
    while following is not None:
        more, following = await _listed(api, following)
        found += more
    return found


async def test_runs_are_listed_newest_first_and_each_once(api: Application):
    made = [str(api.run(Completed()).id) for _ in range(7)]
    assert await _all(api, "/documents?limit=3") == made[::-1]


async def test_runs_with_equal_times_are_each_listed_once(api: Application):
    made = [str(api.run(Completed(), minutes=1).id) for _ in range(5)]
    assert sorted(await _all(api, "/documents?limit=2")) == sorted(made)


async def test_a_new_run_does_not_shift_the_next_page_of_the_list(api: Application):
    made = [str(api.run(Completed()).id) for _ in range(4)]
    first, following = await _listed(api, "/documents?limit=2")
    api.run(Completed())
    assert first + (await _listed(api, following))[0] == made[::-1]


async def test_the_list_describes_each_run_and_links_the_next_page(api: Application):
    record = api.run(Completed(name="Partial"))
    (shown,) = (await api.client.get("/documents")).json()["documents"]
    assert (shown["status"], shown["sha256"], shown["filename"]) == ("partial", record.sha256, None)
    assert (await api.client.get(shown["links"]["self"])).json()["created"] == shown["created"]


async def test_an_empty_list_has_no_next_page(api: Application):
    assert (await api.client.get("/documents")).json() == {"documents": [], "next": None}


async def test_the_list_can_be_filtered_by_status(api: Application):
    failed, _, forgotten = api.run(Failed()), api.run(Completed()), api.run(None)
    assert await _all(api, "/documents?status=failed") == [str(failed.id)]
    assert await _all(api, "/documents?status=failed&status=unknown") == [str(forgotten.id), str(failed.id)]


async def test_a_filtered_request_examines_a_limited_number_of_runs_and_the_next_continues(
    api: Application, monkeypatch: pytest.MonkeyPatch
):
    """The limit does not depend on the number of runs or on the filter."""
    monkeypatch.setattr("flows.api.routes.STATES_PER_REQUEST", 5)
    monkeypatch.setattr("flows.api.routes.MOST_EXAMINED", 10)
    oldest = api.run(Failed())
    for _ in range(12):
        api.run(Completed())
    found, following = await _listed(api, "/documents?status=failed")
    assert (found, sum(api.prefect.asked)) == ([], 10)
    assert await _all(api, following) == [str(oldest.id)]


@pytest.mark.parametrize(
    "query", ["cursor=soon", "cursor=-1-" + "0" * 32, "cursor=" + "f" * 40, "limit=0", "limit=101", "status=well"]
)
async def test_invalid_parameters_are_refused(api: Application, query: str):
    assert (await api.client.get(f"/documents?{query}")).status_code == 422


async def _cancelled(api: Application, record) -> tuple[int, str]:
    response = await api.client.post(f"/documents/{record.id}/cancel")
    return response.status_code, response.json().get("status", response.json().get("detail"))


async def test_a_waiting_run_is_cancelled_at_once_even_repeatedly(api: Application):
    record = api.run(Scheduled())
    assert [await _cancelled(api, record) for _ in range(2)] == [(200, "cancelled")] * 2


async def test_an_active_run_is_cancelling_until_its_worker_has_ended_it(api: Application):
    record = api.run(Running())
    assert [await _cancelled(api, record) for _ in range(2)] == [(202, "cancelling")] * 2
    api.prefect.states[record.id] = Cancelled()
    assert await _cancelled(api, record) == (200, "cancelled")


@pytest.mark.parametrize("state", [Completed(), Failed(), Crashed(), None], ids=str)
async def test_a_run_that_has_ended_cannot_be_cancelled(api: Application, state):
    code, told = await _cancelled(api, api.run(state))
    assert (code, told.endswith("there is nothing to cancel.")) == (409, True)


async def test_an_unknown_run_can_be_neither_cancelled_nor_deleted(api: Application):
    missing = f"/documents/{uuid4()}"
    answers = [await api.client.post(f"{missing}/cancel"), await api.client.delete(missing)]
    assert [response.status_code for response in answers] == [404, 404]


async def _deleted(api: Application, record) -> int:
    return (await api.client.delete(f"/documents/{record.id}")).status_code


def _files(api: Application) -> list[str]:
    kept = (path for name in ("documents", "results", "webhooks") for path in (api.directory / name).rglob("*"))
    return [str(path) for path in kept if path.name != ".lock" or path.parent.name != "webhooks"]


async def test_a_deleted_run_leaves_no_files(api: Application):
    record = api.run(Completed())
    api.webhook(record)
    (api.directory / "documents" / record.sha256).mkdir()
    assert await _deleted(api, record) == 204
    assert _files(api) == []
    assert await _all(api, "/documents") == []
    assert await _deleted(api, record) == 404


@pytest.mark.parametrize("state", [Scheduled(), Running(), Cancelling()], ids=str)
async def test_an_active_run_is_not_deleted(api: Application, state):
    record = api.run(state)
    before = _files(api)
    assert (await _deleted(api, record), _files(api)) == (409, before)


async def test_a_document_is_kept_while_another_run_uses_it(api: Application):
    first = api.run(Completed())
    other = api.run(Running(), sha256=first.sha256)
    assert await _deleted(api, first) == 204
    assert (api.directory / "documents" / f"{first.sha256}.pdf").exists()
    assert (other.output / "document.md").exists()
    assert not first.output.exists()


async def test_shared_results_are_kept_until_the_last_run_is_deleted(api: Application):
    """A failed run and the run after it share their results."""
    first = api.run(Failed(), output="key/paper-1")
    second = api.run(Completed(), sha256=first.sha256, output="key/paper-1")
    assert await _deleted(api, second) == 204
    assert (first.output / "document.md").exists()
    assert await _deleted(api, first) == 204
    assert _files(api) == []


async def test_deleting_a_forced_run_keeps_the_results_of_others(api: Application):
    first = api.run(Completed(), output="key/0/paper-1")
    second = api.run(Completed(), output="key/1/paper-1")
    assert await _deleted(api, first) == 204
    assert (second.output / "document.md").exists()
    assert await _deleted(api, second) == 204
    assert _files(api) == []


async def test_nothing_outside_the_results_is_deleted(api: Application, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    record = api.run(Completed(), output=str(elsewhere))
    assert await _deleted(api, record) == 204
    assert (elsewhere / "document.md").exists()


async def test_a_run_is_not_deleted_while_a_worker_writes_its_results(api: Application):
    record = api.run(Crashed())
    lease = take_exclusive(record.output / ".lock")
    assert await _deleted(api, record) == 409
    lease.release()
    assert await _deleted(api, record) == 204


async def test_a_run_is_not_deleted_while_its_document_is_posted_again(api: Application):
    record = api.run(Completed())
    lease = take_shared(api.service.accepted.document_lock(record.sha256))
    assert await _deleted(api, record) == 409
    lease.release()
    assert await _deleted(api, record) == 204
