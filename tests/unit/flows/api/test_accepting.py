"""Documents are accepted at once, and submitted to Prefect from a queue on disk."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.states import Completed, Failed, Scheduled, State

from flows.api import queue
from flows.api.app import create_app
from flows.api.service import Service
from flows.api.settings import ApiSettings
from flows.api.uploads import Upload
from flows.orchestrator.trigger import request_key
from tasks.core.jobs import Job, Plan
from tasks.settings.settings import Settings
from tests.support import pdfs
from tests.support.waiting import PATIENCE, until_async

DOWN = 503


class Prefect:
    """STAND-IN for Prefect's API: it makes one run of each key, but for what it has to answer first.

    Attributes:
        troubles: HTTP codes that requests for runs are answered with, one after another; 0 is no answer at all.
        always: one that all are answered with.
    """

    def __init__(self, *troubles: int, always: int | None = None) -> None:
        self.troubles = list(troubles)
        self.always = always
        self.asked = 0
        self.runs: dict[str, SimpleNamespace] = {}
        self.deployed = True
        self.silent = asyncio.Event()

    async def read_deployment_by_name(self, _: str) -> SimpleNamespace:
        if not self.deployed:
            raise ObjectNotFound(None)
        return SimpleNamespace(id=uuid4())

    async def create_flow_run_from_deployment(
        self, _: UUID, *, name: str, parameters: dict[str, Any], idempotency_key: str, labels: dict[str, str]
    ) -> SimpleNamespace:
        self.asked += 1
        await asyncio.sleep(0)
        await self._trouble()
        made = {
            "id": uuid4(),
            "name": name,
            "parameters": parameters,
            "idempotency_key": idempotency_key,
            "labels": labels,
        }
        run = SimpleNamespace(**made, state=Scheduled(), created=datetime.now(UTC))
        return self.runs.setdefault(idempotency_key, run)

    async def read_flow_run(self, run: UUID) -> SimpleNamespace:
        await self._trouble()
        return next(each for each in self.runs.values() if each.id == run)

    async def read_flow_runs(self, **_: object) -> list[SimpleNamespace]:
        return []

    async def _trouble(self) -> None:
        code = self.troubles.pop(0) if self.troubles else self.always
        if code == 0:
            await self.silent.wait()
        if code:
            response = httpx.Response(code, request=httpx.Request("POST", "http://prefect"))
            raise PrefectHTTPStatusError.from_httpx_error(
                httpx.HTTPStatusError(f"HTTP {code}", request=response.request, response=response)
            )

    def end(self, state: State[Any]) -> None:
        """Have all runs end so, with results."""
        for run in self.runs.values():
            run.state = state
            name = Path(run.parameters["job"]["document"]).stem
            (Path(run.parameters["job"]["output"]) / f"{name}-{name[:12]}").mkdir(parents=True, exist_ok=True)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("queue._LOOK_SECONDS", "queue._LONGEST_PAUSE", "queue._REFUSED_SECONDS"):
        monkeypatch.setattr(f"flows.api.{name}", 0.01)
    monkeypatch.setattr("flows.api.prefect_state._AGAIN_SECONDS", 0.001)
    monkeypatch.setattr("flows.api.followed._STATE_SECONDS", 0.0)
    monkeypatch.setattr("flows.api.service._KNOWN_SECONDS", 0.05)


@pytest.fixture
def api(tmp_path: Path) -> ApiSettings:
    return ApiSettings(directory=tmp_path / "api", prefect_seconds=0.5)


@pytest.fixture
def pdf(tmp_path: Path) -> bytes:
    return pdfs.written(tmp_path / "a.pdf", "One.").read_bytes()


@pytest.fixture
def opened_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the first document is opened, which takes a process of its own; the others are taken for alike."""
    check, plans = Upload.check, []

    async def known(upload: Upload, job: Job) -> Plan:
        if not plans:
            plans.append(await check(upload, job))
        return plans[0]

    monkeypatch.setattr(Upload, "check", known)


@asynccontextmanager
async def serving(api: ApiSettings, prefect: Prefect, **limits: int) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a backend over a stand-in for Prefect."""
    app = create_app(Settings(**limits), api)
    async with AsyncExitStack() as stack:
        app.state.service = await stack.enter_async_context(Service.over(Settings(), api, prefect))
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1")
        client.headers["Content-Type"] = "application/pdf"
        yield await stack.enter_async_context(client)


async def _accepted(client: httpx.AsyncClient, pdf: bytes, **options: Any) -> str:
    response = await client.post("/documents", content=pdf, params=options)
    assert response.status_code == 202, response.text
    return response.json()["id"]


async def _view(client: httpx.AsyncClient, request: str) -> dict[str, Any]:
    return (await client.get(f"/documents/{request}")).json()


async def _submitted(client: httpx.AsyncClient, request: str) -> dict[str, Any]:
    async def view() -> dict[str, Any] | None:
        shown = await _view(client, request)
        return shown if shown.get("run") else None

    return await until_async(view)


async def _nothing_waits(api: ApiSettings) -> bool:
    return not list((api.directory / "queue").glob("*.json"))


@pytest.mark.parametrize("always", [0, DOWN], ids=["silent", "busy"])
async def test_a_document_is_accepted_while_prefect_is_out_of_order(api: ApiSettings, pdf: bytes, always: int):
    prefect = Prefect(always=always)
    async with serving(api, prefect) as client:
        request = await _accepted(client, pdf)
        early = await _view(client, request)
        assert (early["status"], early["run"], early["prefect"]["name"]) == ("waiting", None, "Queued")
        prefect.always = None
        prefect.silent.set()
        assert UUID((await _submitted(client, request))["run"])


async def test_why_a_document_waits_is_told(api: ApiSettings, pdf: bytes):
    prefect = Prefect()
    prefect.deployed = False
    async with serving(api, prefect) as client:
        request = await _accepted(client, pdf)

        async def trouble() -> str | None:
            return (await _view(client, request))["prefect"]["message"]

        assert (await until_async(trouble)).startswith("Prefect has no deployment process-document/on-demand.")
        prefect.deployed = True
        await _submitted(client, request)


async def test_what_was_accepted_outlives_the_backend(api: ApiSettings, pdf: bytes):
    async with serving(api, Prefect(always=DOWN)) as client:
        request = await _accepted(client, pdf, pages="1")
    async with serving(api, Prefect()) as client:
        shown = await _submitted(client, request)
        assert (shown["id"], shown["pages"]["asked"]) == (request, 1)
        await until_async(lambda: _nothing_waits(api))


async def test_thirty_callers_at_once_are_all_answered_and_make_thirty_runs(
    api: ApiSettings, tmp_path: Path, opened_once: None
):
    documents = [pdfs.written(tmp_path / f"{n}.pdf", f"Document {n}.").read_bytes() for n in range(30)]
    prefect = Prefect(*[DOWN, 0, 429, 408] * 5)
    prefect.silent.set()
    async with serving(api, prefect) as client:
        requests = await asyncio.gather(*(_accepted(client, each) for each in documents))
        runs = {(await _submitted(client, each))["run"] for each in requests}
    assert (len(set(requests)), len(runs), len(prefect.runs)) == (30, 30, 30)


async def test_the_same_request_made_often_at_once_is_one(api: ApiSettings, pdf: bytes, opened_once: None):
    prefect = Prefect(*[DOWN] * 20)
    async with serving(api, prefect) as client:
        first = await asyncio.gather(*(_accepted(client, pdf) for _ in range(10)))
        await _submitted(client, first[0])
        assert {*first, await _accepted(client, pdf)} == {first[0]}
    assert len(prefect.runs) == 1


async def test_a_request_that_failed_is_followed_by_another_and_a_complete_one_is_not(api: ApiSettings, pdf: bytes):
    prefect = Prefect()
    async with serving(api, prefect) as client:
        first = await _accepted(client, pdf)
        await _submitted(client, first)
        prefect.end(Failed())
        second = await _accepted(client, pdf)
        assert (await _submitted(client, second))["run"] != (await _view(client, first))["run"]
        prefect.end(Completed())
        again = await client.post("/documents", content=pdf)
    assert second != first
    assert (again.status_code, again.json()["id"]) == (200, second)
    assert [key.rpartition("-")[2] for key in prefect.runs] == ["0", "1"]


async def test_what_prefect_refuses_holds_up_no_other(api: ApiSettings, pdf: bytes, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(queue, "_REFUSED_SECONDS", PATIENCE)
    prefect = Prefect(422)
    async with serving(api, prefect) as client:
        refused, taken = await _accepted(client, pdf), await _accepted(client, pdf, pages="1")
        await _submitted(client, taken)
        assert (await _view(client, refused))["prefect"]["message"].startswith("Prefect refuses the request (HTTP 422)")


async def test_a_run_that_is_not_understood_holds_up_no_other(
    api: ApiSettings, pdf: bytes, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(queue, "_REFUSED_SECONDS", PATIENCE)
    key = request_key(Job(document=""), hashlib.sha256(pdf).hexdigest())
    prefect = Prefect()
    output = str(api.directory / "results" / key[:32])
    foreign = {"id": uuid4(), "parameters": {"job": {"moon": 1, "output": output}}, "labels": {}}
    prefect.runs[f"{key}-0"] = SimpleNamespace(**foreign, idempotency_key=f"{key}-0", state=Scheduled(), created=None)
    async with serving(api, prefect) as client:
        await _accepted(client, pdf)
        await _submitted(client, await _accepted(client, pdf, pages="1"))


async def test_a_request_becomes_one_run_though_the_backend_died_before_it_noted_it(
    api: ApiSettings, pdf: bytes, monkeypatch: pytest.MonkeyPatch
):
    """Also if the run has ended meanwhile: a forced one would otherwise be paid for twice."""
    prefect = Prefect()

    async def dying(*_: object) -> None:
        raise OSError

    with monkeypatch.context() as patched:
        patched.setattr("flows.api.queue.Queue._noted", dying)
        async with serving(api, prefect) as client:
            request = await _accepted(client, pdf, force=True)
            await until_async(lambda: prefect.runs)
    prefect.end(Completed())
    async with serving(api, prefect) as client:
        await _submitted(client, request)
    assert len(prefect.runs) == 1


async def test_a_run_of_an_earlier_version_is_found_by_its_key_and_paid_for_once(api: ApiSettings, pdf: bytes):
    content = hashlib.sha256(pdf).hexdigest()
    job = Job(document="")
    key = request_key(job, content)
    prefect = Prefect()
    before = {"document": f"/{content}.pdf", "output": str(api.directory / "results" / key[:32])}
    run = SimpleNamespace(id=uuid4(), parameters={"job": before}, idempotency_key=f"{key}-0", labels={})
    prefect.runs[f"{key}-0"] = run
    run.state, run.created = Completed(), datetime.now(UTC)
    (api.directory / "results" / key[:32] / f"{content}-{content[:12]}").mkdir(parents=True)
    async with serving(api, prefect) as client:
        request = (await client.post("/documents", content=pdf)).json()["id"]
        assert (await _submitted(client, request))["run"] == str(run.id)
    assert list(prefect.runs) == [f"{key}-0"]


async def test_two_directories_on_one_prefect_server_know_nothing_of_each_other(api: ApiSettings, pdf: bytes):
    prefect = Prefect()
    other = ApiSettings(directory=api.directory.with_name("other"), prefect_seconds=0.5)
    async with serving(api, prefect) as ours, serving(other, prefect) as theirs:
        first, second = await _accepted(ours, pdf), await _accepted(theirs, pdf)
        assert (await _submitted(ours, first))["run"] != (await _submitted(theirs, second))["run"]
        assert (await ours.get(f"/documents/{second}")).status_code == 404
        assert first != second
        assert (await _accepted(ours, pdf), await _accepted(theirs, pdf)) == (first, second)
    assert len({run.parameters["job"]["output"] for run in prefect.runs.values()}) == 2


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (lambda pdf: b"no PDF", {}),
        (lambda pdf: pdf, {"pages": "9"}),
        (lambda pdf: pdf, {"backend": "ec2"}),
        (lambda pdf: pdf, {"webhook": "https://8.8.8.8:99999/"}),
    ],
)
async def test_a_request_that_is_refused_makes_no_run_and_leaves_nothing(
    api: ApiSettings, pdf: bytes, make, options: dict[str, str]
):
    prefect = Prefect()
    async with serving(api, prefect) as client:
        response = await client.post("/documents", content=make(pdf), params=options)
        assert response.status_code == 422, response.text
        await _submitted(client, await _accepted(client, pdf))
    assert len(prefect.runs) == 1
    assert len(list((api.directory / "documents").iterdir())) == 1


async def test_a_request_without_a_budget_gets_one_and_is_still_the_same_request(api: ApiSettings, pdf: bytes):
    prefect = Prefect()
    async with serving(api, prefect) as client:
        request = await _accepted(client, pdf)
        await _submitted(client, request)
    (run,) = prefect.runs.values()
    assert run.parameters["job"]["max_usd"] == api.max_usd
    assert "max_usd" not in (api.directory / "runs" / f"{request}.json").read_text()


async def test_for_a_client_that_left_nothing_is_kept(api: ApiSettings, pdf: bytes, monkeypatch: pytest.MonkeyPatch):
    opening, left = asyncio.Event(), asyncio.Event()

    async def check(*_: object) -> None:
        opening.set()
        await asyncio.Event().wait()

    monkeypatch.setattr("flows.api.uploads.Upload.check", check)
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
    async with serving(api, Prefect()) as client:
        posted = asyncio.create_task(client._transport.app(scope, receive, send))
        await opening.wait()
        left.set()
        await asyncio.wait_for(posted, PATIENCE)
    assert list((api.directory / "documents").iterdir()) == []
    assert list((api.directory / "queue").glob("*.json")) == []


async def test_others_are_answered_while_many_documents_are_being_opened(
    api: ApiSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    let_go = threading.Event()
    opening = 0

    def slow(*_: object, **__: object) -> None:
        nonlocal opening
        opening += 1
        let_go.wait(PATIENCE)

    monkeypatch.setattr("tasks.runs.prepare.local_file", slow)
    pdf = pdfs.written(tmp_path / "a.pdf", "One.").read_bytes()
    async with serving(api, Prefect()) as client:
        posts = [asyncio.create_task(client.post("/documents", content=pdf)) for _ in range(30)]
        await until_async(lambda: opening)
        answered = await asyncio.wait_for(client.get(f"/documents/{uuid4()}"), PATIENCE)
        await asyncio.wait_for(asyncio.to_thread(int), PATIENCE)
        let_go.set()
        for post in posts:
            post.cancel()
        await asyncio.gather(*posts, return_exceptions=True)
    assert answered.status_code == 404
