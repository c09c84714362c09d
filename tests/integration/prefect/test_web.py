"""The HTTP API and its webhooks: real processes from the request to the page."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from flows.api.signature import verify
from tests.integration.prefect.web_backend import SECRET, TOKEN, Backend, Event, Held, receiver, serving_api
from tests.support import pdfs
from tests.support.commands import PrefectServer
from tests.support.waiting import until


@pytest.fixture(scope="module")
def serving(session_prefect: PrefectServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    with serving_api(tmp_path_factory.mktemp("web"), session_prefect.api) as backend:
        yield backend


@pytest.fixture
def backend(serving: Backend) -> Backend:
    """The backend that the tests share. Each posts documents of its own."""
    if serving.process.poll() is not None:
        serving.start()
    return serving


@pytest.fixture
def held(backend: Backend) -> Iterator[Held]:
    """Two pages, and a third one that is held back until the test lets it go, or ends."""
    held = backend.held(upright=2)
    yield held
    held.let_go()


def _posted(backend: Backend, pdf: bytes, **options: Any) -> str:
    response = backend.post(pdf, **options)
    assert response.status_code == 202, response.text
    return response.json()["id"]


def _under_way(backend: Backend, held: Held) -> str:
    """A run that has read all pages but the one that is held back."""
    run = _posted(backend, held.pdf)
    list(itertools.islice(backend.events(run), held.upright))
    return run


def _read(backend: Backend, tmp_path: Path, **options: Any) -> tuple[bytes, str]:
    """A document of one page, and the run that has read it."""
    pdf = pdfs.written(tmp_path / "a.pdf", f"One of {uuid4()}.").read_bytes()
    run = _posted(backend, pdf, **options)
    *_, end = backend.events(run)
    assert end.data["status"] == "complete", end.data
    return pdf, run


def _pending(backend: Backend, run: str) -> list[Path]:
    """The webhooks of a run that are still to be sent."""
    return [path for path in (backend.directory / "api" / "webhooks").glob("*.json") if run in path.read_text()]


def test_two_simultaneous_posts_create_one_run(backend: Backend, held: Held):
    pdf = held.pdf
    with ThreadPoolExecutor(2) as pool:
        posts = list(pool.map(lambda _: backend.post(pdf), range(2)))
    assert [post.status_code for post in posts] == [202, 202], [post.text for post in posts]
    assert len({post.json()["id"] for post in posts}) == 1


def test_pages_are_streamed_with_their_text_during_the_run(backend: Backend, held: Held):
    events = list(itertools.islice(backend.events(_posted(backend, held.pdf), text=True), 2))
    assert {event.data["page"] for event in events} == {1, 2}
    assert {(event.name, event.data["status"], len(event.data["text"])) for event in events} == {("page", "read", 64)}


@pytest.mark.long("starts the backend twice; test_web_parts has the stream")
def test_a_stream_resumes_after_the_backend_was_killed(backend: Backend, held: Held):
    run = _posted(backend, held.pdf)
    before = list(itertools.islice(backend.events(run), 2))
    backend.kill()
    held.let_go()
    backend.start()
    (page, end) = backend.events(run, last=_last_id(before))
    assert (page.name, page.data["page"]) == ("page", 3)
    assert "text" not in page.data
    assert (end.name, end.data["status"], end.id) == ("end", "complete", "end")


def _last_id(events: list[Event]) -> str:
    return [event.id for event in events if event.id is not None][-1]


def test_a_client_that_reconnects_after_the_end_gets_204(backend: Backend, held: Held):
    run = _posted(backend, held.pdf)
    with backend.client() as client:
        response = client.get(f"/documents/{run}/events", headers={"Last-Event-ID": "end"})
    assert response.status_code == 204


@pytest.mark.long("another run of a worker: 9 s")
def test_the_status_counts_pages_and_has_prefects_state(backend: Backend, held: Held):
    run = _under_way(backend, held)
    early = backend.get(f"/documents/{run}").json()
    held.let_go()
    *_, end = backend.events(run)
    now = backend.get(f"/documents/{run}").json()
    assert end.name == "end"
    assert (early["status"], early["prefect"]["type"], early["cost_usd"]) == ("reading", "RUNNING", None)
    assert early["pages"] == {
        **{"asked": 3, "done": 2, "read": 2, "blank": 0, "failed": []},
        **{"doubtful": [], "confidence_unknown": 2},
    }
    assert (now["status"], now["prefect"]["name"], now["cost_usd"]) == ("complete", "Completed", 0.0)
    assert now["pages"] == {
        **{"asked": 3, "done": 3, "read": 3, "blank": 0, "failed": []},
        **{"doubtful": [], "confidence_unknown": 3},
    }
    assert (now["machine"]["backend"], now["machine"]["slots"]) == ("url", 2)


@pytest.mark.long("another run of a worker: 8 s")
def test_a_result_that_does_not_exist_yet_is_a_conflict_with_the_reason(backend: Backend, held: Held):
    run = _under_way(backend, held)
    text, page = (backend.get(f"/documents/{run}{what}") for what in ("/text", "/pages/3"))
    assert (text.status_code, page.status_code) == (409, 409)
    assert text.json()["detail"] == "The run is reading: 2 of 3 pages are stored. Ask again when it has ended."
    assert page.json()["detail"] == "Page 3 has not been read yet."


@pytest.mark.long("another run of a worker: 7 s")
def test_the_links_lead_to_the_results(backend: Backend, tmp_path: Path):
    pdf = pdfs.written(tmp_path / "a.pdf", *(f"Page {number} of {uuid4()}." for number in range(3))).read_bytes()
    run = _posted(backend, pdf)
    list(backend.events(run))
    links = backend.get(f"/documents/{run}").json()["links"]
    text, manifest = backend.get(links["text"]), backend.get(links["manifest"])
    page = backend.get(links["page"].format(number=3))
    assert text.headers["content-type"] == "text/markdown; charset=utf-8"
    assert page.json()["text"] in text.text
    assert [f"<!-- page {number} -->" in text.text for number in range(1, 4)] == [True] * 3
    assert manifest.json()["flow_run_id"] == backend.get(f"/documents/{run}").json()["run"]
    assert backend.get(links["page"].format(number=4)).status_code == 404


@pytest.mark.long("another run of a worker: 8 s")
def test_the_run_and_the_results_are_named_after_the_file_of_a_form(backend: Backend, tmp_path: Path):
    pdf = pdfs.written(tmp_path / "a.pdf", f"One of {uuid4()}.").read_bytes()
    with backend.client() as client:
        posted = client.post("/documents", files={"file": ("Minutes of May.pdf", pdf)}, data={"pages": "1"}).json()
    *_, end = backend.events(posted["id"])
    assert (end.data["status"], end.data["filename"]) == ("complete", "Minutes of May.pdf")
    run = backend.prefect(f"/flow_runs/{end.data['run']}")
    assert run["name"] == "Minutes of May, pages 1"
    assert list((backend.directory / "api" / "results").glob("*/Minutes_of_May-*/document.md"))
    assert posted["id"] in [each["id"] for each in backend.get("/documents?status=complete").json()["documents"]]


@pytest.mark.long("another run of a worker: 11 s")
def test_a_cancelled_run_ends_and_can_be_deleted_completely(backend: Backend, held: Held):
    run = _under_way(backend, held)
    here = f"/documents/{run}"
    with backend.client() as client:
        assert client.delete(here).status_code == 409
        asked = client.post(f"{here}/cancel")
        assert asked.status_code in {200, 202}, asked.text
        until(lambda: client.get(here).json()["status"] == "cancelled")
        assert client.post(f"{here}/cancel").status_code == 200
        until(lambda: client.delete(here).status_code == 204)  # the worker may still be at its results
        assert client.get(here).status_code == 404
    sha256 = asked.json()["sha256"]
    assert not list((backend.directory / "api").rglob(f"*{sha256[:12]}*"))


@pytest.mark.long("another run of a worker")
def test_an_equal_post_after_the_end_finds_the_same_run(backend: Backend, tmp_path: Path):
    pdf, run = _read(backend, tmp_path)
    again = backend.post(pdf)
    assert (again.status_code, again.json()["id"]) == (200, run)


@pytest.mark.long("another run of a worker: 8 s")
def test_a_refused_webhook_is_sent_again_signed_and_with_the_same_id(backend: Backend, tmp_path: Path):
    with receiver() as hooks:
        _, run = _read(backend, tmp_path, webhook=hooks.url)
        until(lambda: len(hooks.received) > 1)
    (first, _), (headers, body) = hooks.received[:2]
    assert first["Hearth-Webhook-Id"] == headers["Hearth-Webhook-Id"] == json.loads(body)["webhook"]
    assert verify(SECRET, headers, body)
    assert not verify(SECRET, headers, body.replace(b"complete", b"failed"))
    told = json.loads(body)
    assert (told["id"], told["status"], told["pages"]["read"]) == (run, "complete", 1)


@pytest.mark.long("starts the backend twice")
def test_a_webhook_survives_a_restart_of_the_backend(backend: Backend, held: Held):
    """The first backend is killed before the run ends; delivered webhooks are no longer pending."""
    with receiver(refused=0) as hooks:
        run = _posted(backend, held.pdf, webhook=hooks.url)
        assert _pending(backend, run)
        backend.kill()
        held.let_go()
        backend.start()
        until(lambda: hooks.received)
        until(lambda: not _pending(backend, run))
    assert json.loads(hooks.received[0][1])["id"] == run


@pytest.mark.long("waits for every attempt to deliver")
def test_the_log_contains_no_secret_and_no_address_of_a_webhook(backend: Backend, tmp_path: Path):
    with receiver(refused=1000) as hooks:
        _, run = _read(backend, tmp_path, webhook=hooks.url)
        until(lambda: f"The webhook of run {run} could not be delivered" in backend.log)
    for path in _pending(backend, run):
        path.unlink()
    for secret in (SECRET, TOKEN, "of-the-receiver"):
        assert secret not in backend.log


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"slots": "0"}, "The parameter slots is wrong: Input should be greater than or equal to 1."),
        ({"slots": "many"}, "The parameter slots is wrong"),
        ({"force": "perhaps"}, "The parameter force is wrong"),
        ({"pages": "9"}, "The page selection '9' is out of range: the document has 1 page."),
        ({"pages": "x"}, "The page selection 'x' is invalid."),
        ({"num_ctx": "4096", "num_predict": "4096"}, "num_predict (4096) leaves no room"),
        ({"backend": "moon"}, "The parameter backend is wrong"),
        ({"backend": "ec2"}, "The backend 'ec2' is not allowed here."),
        ({"model": "llama3.1:405b"}, "The model 'llama3.1:405b' is not allowed here."),
        ({"paegs": "1"}, "There is no parameter 'paegs'."),
        ({"output": "/etc"}, "There is no parameter 'output'."),
        ({"document": "/etc/passwd"}, "There is no parameter 'document'."),
        ({"pages": ["1", "1"]}, "The parameter pages is repeated."),
        ({"password_env": "API_TOKEN"}, "password_env may not name 'API_TOKEN'."),
        ({"webhook": "ftp://example.com"}, "The webhook's URL must be https."),
        ({"webhook": "http://10.0.0.1/"}, "The webhook's URL must begin with https."),
        ({"webhook": "https://169.254.169.254/"}, "is in a network that is not allowed."),
    ],
)
def test_a_bad_parameter_is_refused_with_the_reason(backend: Backend, tmp_path: Path, options, told: str):
    response = backend.post(pdfs.written(tmp_path / "a.pdf", "One.").read_bytes(), **options)
    assert (response.status_code, told in response.json()["detail"]) == (422, True), response.text


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda path: b"Not a PDF.", "The document is not a PDF or picture (PNG, JPEG, TIFF or WebP), but text"),
        (lambda path: b"", "The document is empty (0 bytes)."),
        (lambda path: pdfs.cut_off(path).read_bytes(), "The document is truncated: its end is missing."),
        (lambda path: pdfs.encrypted(path, "One.", "secret").read_bytes(), "The document is encrypted."),
    ],
    ids=["text", "empty", "cut off", "encrypted"],
)
def test_a_document_that_cannot_be_read_is_refused_and_not_kept(backend: Backend, tmp_path: Path, make, told: str):
    kept = sorted((backend.directory / "api" / "documents").iterdir())
    response = backend.post(make(tmp_path / "a.pdf"))
    assert (response.status_code, told in response.json()["detail"]) == (422, True), response.text
    assert sorted((backend.directory / "api" / "documents").iterdir()) == kept


def test_a_document_over_the_limit_is_refused_during_the_upload(backend: Backend):
    def endless() -> Iterator[bytes]:
        for _ in range(40):
            yield b"%PDF-" * 10_000

    with backend.client() as client:
        headers = {"Content-Type": "application/pdf"}
        response = client.post("/documents", content=endless(), headers=headers)
    assert (response.status_code, response.json()["detail"]) == (
        413,
        "The document is larger than 1 MB, the limit. Split it.",
    )


def test_a_body_of_another_content_type_is_refused(backend: Backend):
    with backend.client() as client:
        assert client.post("/documents", content=b"%PDF-").status_code == 415


def test_a_wrong_token_is_refused(backend: Backend):
    with backend.client("another token") as client:
        assert client.get(f"/documents/{uuid4()}").status_code == 401


def test_a_run_of_another_backend_is_not_found(backend: Backend):
    assert backend.get(f"/documents/{uuid4()}").status_code == 404


@pytest.mark.parametrize("last", ["no; pages", "4", ",".join(["1-999999"] * 400)], ids=["words", "page", "ranges"])
def test_a_foreign_last_event_id_is_refused(backend: Backend, held: Held, last: str):
    run = _posted(backend, held.pdf)
    with backend.client() as client:
        response = client.get(f"/documents/{run}/events", headers={"Last-Event-ID": last})
    assert response.status_code == 400
