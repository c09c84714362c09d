"""Documents are accepted at once, and each request once."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from prefect.states import Completed, Failed

from flows.api.settings import ApiSettings
from flows.api.uploads import Upload
from tasks.core.jobs import Document, Job
from tests.support import pdfs
from tests.support.waiting import PATIENCE, until_async
from tests.unit.flows.api.accepting import Prefect, accepted, backend, serving, submitted, viewed

pytestmark = pytest.mark.usefixtures("at_once")

DOWN = 503


@pytest.fixture
def opened_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Open only the first document, which takes a process, and treat the others as equal."""
    inspect, inspected = Upload.inspect, []

    async def inspect_once(upload: Upload, job: Job) -> tuple[Document, tuple[int, ...]]:
        if not inspected:
            inspected.append(await inspect(upload, job))
        return inspected[0]

    monkeypatch.setattr(Upload, "inspect", inspect_once)


async def _nothing_waits(kept: ApiSettings) -> bool:
    return not list((kept.directory / "queue").glob("*.json"))


@pytest.mark.parametrize("always", [0, DOWN], ids=["silent", "busy"])
async def test_a_document_is_accepted_while_prefect_fails(kept: ApiSettings, pdf: bytes, always: int):
    prefect = Prefect(always=always)
    async with serving(kept, prefect) as client:
        request = await accepted(client, pdf)
        early = await viewed(client, request)
        assert (early["status"], early["run"], early["prefect"]["name"]) == ("waiting", None, "Queued")
        prefect.always = None
        prefect.silent.set()
        assert UUID((await submitted(client, request))["run"])


async def test_the_reason_why_a_document_waits_is_shown(kept: ApiSettings, pdf: bytes):
    prefect = Prefect()
    prefect.deployed = False
    async with serving(kept, prefect) as client:
        request = await accepted(client, pdf)

        async def trouble() -> str | None:
            return (await viewed(client, request))["prefect"]["message"]

        assert (await until_async(trouble)).startswith("Prefect has no deployment process-document/on-demand.")
        prefect.deployed = True
        await submitted(client, request)


async def test_accepted_requests_survive_a_restart_of_the_backend(kept: ApiSettings, pdf: bytes):
    async with serving(kept, Prefect(always=DOWN)) as client:
        request = await accepted(client, pdf, pages="1")
    async with serving(kept, Prefect()) as client:
        shown = await submitted(client, request)
        assert (shown["id"], shown["pages"]["asked"]) == (request, 1)
        await until_async(lambda: _nothing_waits(kept))


async def test_thirty_simultaneous_requests_create_thirty_runs(kept: ApiSettings, tmp_path: Path, opened_once: None):
    documents = [pdfs.written(tmp_path / f"{n}.pdf", f"Document {n}.").read_bytes() for n in range(30)]
    prefect = Prefect(*[DOWN, 0, 429, 408] * 5)
    prefect.silent.set()
    async with serving(kept, prefect) as client:
        requests = await asyncio.gather(*(accepted(client, each) for each in documents))
        runs = {(await submitted(client, each))["run"] for each in requests}
    assert (len(set(requests)), len(runs), len(prefect.runs)) == (30, 30, 30)


async def test_simultaneous_equal_requests_are_one(kept: ApiSettings, pdf: bytes, opened_once: None):
    prefect = Prefect(*[DOWN] * 20)
    async with serving(kept, prefect) as client:
        first = await asyncio.gather(*(accepted(client, pdf) for _ in range(10)))
        await submitted(client, first[0])
        assert {*first, await accepted(client, pdf)} == {first[0]}
    assert len(prefect.runs) == 1


async def test_an_equal_request_is_a_new_one_only_if_the_earlier_one_failed(kept: ApiSettings, pdf: bytes):
    prefect = Prefect()
    async with serving(kept, prefect) as client:
        first = await accepted(client, pdf)
        await submitted(client, first)
        prefect.end(Failed())
        second = await accepted(client, pdf)
        assert (await submitted(client, second))["run"] != (await viewed(client, first))["run"]
        prefect.end(Completed())
        again = await client.post("/documents", content=pdf)
    assert second != first
    assert (again.status_code, again.json()["id"]) == (200, second)
    assert [key.rpartition("-")[2] for key in prefect.runs] == ["0", "1"]


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (lambda pdf: b"no PDF", {}),
        (lambda pdf: pdf, {"pages": "9"}),
        (lambda pdf: pdf, {"backend": "ec2"}),
        (lambda pdf: pdf, {"webhook": "https://8.8.8.8:99999/"}),
    ],
)
async def test_a_refused_request_creates_no_run_and_leaves_no_files(
    kept: ApiSettings, pdf: bytes, make, options: dict[str, str]
):
    prefect = Prefect()
    async with serving(kept, prefect) as client:
        response = await client.post("/documents", content=make(pdf), params=options)
        assert response.status_code == 422, response.text
        await submitted(client, await accepted(client, pdf))
    assert len(prefect.runs) == 1
    assert len(list((kept.directory / "documents").iterdir())) == 1


async def test_a_request_without_a_budget_gets_one_that_is_not_recorded(kept: ApiSettings, pdf: bytes):
    prefect = Prefect()
    async with serving(kept, prefect) as client:
        request = await accepted(client, pdf)
        await submitted(client, request)
    (run,) = prefect.runs.values()
    assert run.parameters["job"]["max_usd"] == kept.max_usd
    assert "max_usd" not in (kept.directory / "runs" / f"{request}.json").read_text()


async def test_nothing_is_kept_for_a_client_that_has_left(
    kept: ApiSettings, pdf: bytes, monkeypatch: pytest.MonkeyPatch
):
    opening, left = asyncio.Event(), asyncio.Event()

    async def inspect(*_: object) -> None:
        opening.set()
        await asyncio.Event().wait()

    monkeypatch.setattr("flows.api.uploads.Upload.inspect", inspect)
    messages = iter([{"type": "http.request", "body": pdf, "more_body": False}])

    async def receive() -> dict[str, object]:
        for message in messages:
            return message
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(_: object) -> None:
        pass

    scope = {
        **{"type": "http", "method": "POST", "path": "/documents", "raw_path": b"/documents", "query_string": b""},
        **{"http_version": "1.1", "scheme": "http", "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 9)},
        "headers": [(b"host", b"127.0.0.1"), (b"content-type", b"application/pdf")],
    }
    async with backend(kept, Prefect()) as app:
        posted = asyncio.create_task(app(scope, receive, send))
        await opening.wait()
        left.set()
        await asyncio.wait_for(posted, PATIENCE)
    assert list((kept.directory / "documents").iterdir()) == []
    assert list((kept.directory / "queue").glob("*.json")) == []


async def test_other_requests_are_answered_while_many_documents_are_opened(
    kept: ApiSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    let_go = threading.Event()
    opening = 0

    def slow(*_: object, **__: object) -> None:
        nonlocal opening
        opening += 1
        let_go.wait(PATIENCE)

    monkeypatch.setattr("flows.api.uploads.choose_setup", slow)
    pdf = pdfs.written(tmp_path / "a.pdf", "One.").read_bytes()
    async with serving(kept, Prefect()) as client:
        posts = [asyncio.create_task(client.post("/documents", content=pdf)) for _ in range(30)]
        await until_async(lambda: opening)
        answered = await asyncio.wait_for(client.get(f"/documents/{uuid4()}"), PATIENCE)
        await asyncio.wait_for(asyncio.to_thread(int), PATIENCE)
        let_go.set()
        for post in posts:
            post.cancel()
        await asyncio.gather(*posts, return_exceptions=True)
    assert answered.status_code == 404
