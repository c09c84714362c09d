"""A posted document becomes a run that is named after its file, and is kept once under each name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from prefect.states import Completed, Failed

from tasks.results.page import PageEntry, PageResult
from tasks.results.store import ResultStore
from tests.support import pdfs, picture_files
from tests.unit.flows.api.application import Application
from tests.unit.tasks.results.stored import OPTIONS, manifest, page


@pytest.fixture
def pdf(tmp_path: Path) -> bytes:
    return pdfs.written(tmp_path / "a.pdf", "One.").read_bytes()


async def _posted(api: Application, pdf: bytes, **options: str) -> dict[str, Any]:
    response = await _posted_raw(api, pdf, **options)
    assert response.is_success, response.text
    return await api.submitted(response.json()["id"])


async def _posted_raw(api: Application, pdf: bytes, **options: str) -> httpx.Response:
    kind = {"Content-Type": "application/pdf"}
    return await api.client.post("/documents", content=pdf, params=options, headers=kind)


async def _sent(api: Application, pdf: bytes, name: str = "paper.pdf", **fields: str) -> dict[str, Any]:
    """As a form."""
    response = await api.client.post("/documents", files={"file": (name, pdf)}, data=fields)
    assert response.is_success, response.text
    return await api.submitted(response.json()["id"])


def _run(api: Application, view: dict[str, Any]) -> Any:
    (run,) = (run for run in api.prefect.keys.values() if str(run.id) == view["run"])
    return run


async def _ended(api: Application, view: dict[str, Any], state: Any) -> Path:
    """The results of a run that has ended so."""
    run = api.service.runs.follow(UUID(view["id"]))
    api.prefect.states[run.record.run] = state
    await run.state(fresh=True)
    ResultStore(run.record.output).prepare()
    return run.record.output


async def test_a_form_and_a_bare_document_with_the_same_options_are_the_same_run(api: Application, pdf: bytes):
    form = await _sent(api, pdf, pages="1", slots="2")
    assert form["id"] == (await _posted(api, pdf, pages="1", slots="2"))["id"]
    assert _run(api, form).parameters["job"]["slots"] == 2


def _are_one_file(one: Path, other: Path) -> bool:
    return one.samefile(other)


async def test_the_content_of_a_picture_names_its_document_and_not_the_clients_name_or_type(
    api: Application, tmp_path: Path
):
    png = picture_files.stored(tmp_path / "a.png").read_bytes()
    view = await _sent(api, png, name="scan.pdf")
    document = Path(_run(api, view).parameters["job"]["document"])
    assert (document.name, view["filename"]) == ("scan.png", "scan.png")
    kept = api.directory / "documents" / f"{view['sha256']}.png"
    assert _are_one_file(kept, document)
    assert (await _posted(api, png, filename="scan.pdf"))["id"] == view["id"]


async def test_another_file_is_refused_with_what_to_do(api: Application):
    response = await api.client.post("/documents", files={"file": ("scan.pdf", b"\0\0\0\x18ftypheic" + bytes(99))})
    assert response.status_code == 422
    assert response.json()["detail"].startswith("The document is not a PDF or picture")
    assert "HEIC" in response.json()["detail"]
    assert "heif-convert" in response.json()["detail"]


async def test_options_may_be_in_the_query_of_a_form(api: Application, pdf: bytes):
    response = await api.client.post("/documents?slots=3", files={"file": pdf}, data={"pages": "1"})
    job = _run(api, await api.submitted(response.json()["id"])).parameters["job"]
    assert (job["slots"], job["pages"]) == (3, "1")


async def test_an_option_in_both_query_and_form_is_refused(api: Application, pdf: bytes):
    response = await api.client.post("/documents?pages=1", files={"file": pdf}, data={"pages": "1"})
    assert (response.status_code, "repeated" in response.json()["detail"]) == (422, True)


async def test_a_run_its_document_and_its_status_are_named_after_the_file(api: Application, pdf: bytes):
    view = await _sent(api, pdf, "Minutes of May.pdf", pages="1")
    run = _run(api, view)
    assert (run.name, view["filename"]) == ("Minutes of May, pages 1", "Minutes of May.pdf")
    document = api.directory / "documents" / view["sha256"] / "Minutes of May.pdf"
    assert (run.parameters["job"]["document"], document.read_bytes()) == (str(document), pdf)


async def test_the_parameter_filename_overrides_the_name_of_the_file(api: Application, pdf: bytes):
    assert (await _sent(api, pdf, "blob", filename="paper.pdf"))["filename"] == "paper.pdf"


async def test_a_run_without_a_file_name_has_a_short_name(api: Application, pdf: bytes):
    view = await _posted(api, pdf)
    assert (_run(api, view).name, view["filename"]) == (f"document {view['sha256'][:8]}, all pages", None)


async def test_the_same_document_under_another_name_is_the_same_run(api: Application, pdf: bytes):
    first, second = await _sent(api, pdf, "first.pdf"), await _sent(api, pdf, "second.pdf")
    assert (second["id"], second["filename"]) == (first["id"], "first.pdf")


async def test_a_document_under_several_names_is_kept_once(api: Application, pdf: bytes):
    view = await _sent(api, pdf, "first.pdf")
    await _sent(api, pdf, "second.pdf")
    kept = [path for path in (api.directory / "documents").rglob("*.pdf") if path.is_file()]
    assert len(kept) == 3
    assert len({path.stat().st_ino for path in kept}) == 1
    assert (api.directory / "documents" / f"{view['sha256']}.pdf") in kept


async def test_the_names_of_a_document_are_limited(api: Application, pdf: bytes, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("flows.api.uploads.MOST_NAMES", 2)
    for number in range(4):
        view = await _sent(api, pdf, f"{number}.pdf")
    assert len(list((api.directory / "documents" / view["sha256"]).iterdir())) == 2


async def test_without_hard_links_the_document_is_read_under_its_hash(
    api: Application, pdf: bytes, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    view = await _sent(api, pdf, "paper.pdf")
    assert Path(_run(api, view).parameters["job"]["document"]).name == f"{view['sha256']}.pdf"
    assert view["filename"] == "paper.pdf"


async def test_a_run_after_one_with_another_name_continues_with_its_pages(api: Application, pdf: bytes):
    """It takes over the stored pages of the same bytes, so that none is read twice."""
    first = await _sent(api, pdf, "first.pdf")
    results = await _ended(api, first, Failed())
    second = await _sent(api, pdf, "second.pdf")
    assert second["id"] != first["id"]
    assert (await _ended(api, second, Completed())).parent == results.parent


async def test_a_document_is_read_again_after_its_results_were_deleted(api: Application, pdf: bytes):
    first = await _sent(api, pdf)
    await _ended(api, first, Completed())
    assert (await _sent(api, pdf))["id"] == first["id"]
    assert (await api.client.delete(f"/documents/{first['id']}")).status_code == 204
    assert (await _sent(api, pdf))["id"] != first["id"]


async def test_the_text_is_downloaded_under_the_documents_name(api: Application, pdf: bytes):
    view = await _sent(api, pdf, "Bücher.pdf")
    (await _ended(api, view, Completed()) / "document.md").write_text("text")
    response = await api.client.get(view["links"]["text"])
    assert response.headers["Content-Disposition"] == "inline; filename*=utf-8''B%C3%BCcher.md"


@pytest.mark.parametrize(
    ("origin", "code"),
    [("http://127.0.0.1", 202), ("http://127.0.0.1:3000", 403), ("https://evil.example", 403), ("null", 403)],
)
async def test_without_a_token_a_page_of_another_origin_cannot_post_a_form(
    api: Application, pdf: bytes, origin: str, code: int
):
    """Browsers let any page post a form, but not a plain document."""
    response = await api.client.post("/documents", files={"file": pdf}, headers={"Origin": origin})
    assert response.status_code == code


# A JSON Schema

SCHEMA = '{"type": "object", "properties": {"total": {"type": "number"}}}'


@pytest.fixture
def vision(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server with a model that follows instructions; nothing is sent to it."""
    monkeypatch.setenv("HEARTH_URL", "http://127.0.0.1:9")


async def _with_schema(api: Application, pdf: bytes, schema: str, *, file: bool = True) -> httpx.Response:
    part = ("invoice.json", schema, "application/json") if file else (None, schema)
    return await api.client.post("/documents", files={"file": ("a.pdf", pdf), "json_schema": part})


@pytest.mark.usefixtures("vision")
async def test_a_schema_may_be_a_file_or_a_field_of_the_form_or_in_the_query(api: Application, pdf: bytes):
    first = await _with_schema(api, pdf, SCHEMA)
    view = await api.submitted(first.json()["id"])
    assert _run(api, view).parameters["job"]["json_schema"] == SCHEMA.replace(" ", "")
    second = await _with_schema(api, pdf, SCHEMA.replace(" ", "  "), file=False)
    third = await _posted(api, pdf, json_schema=SCHEMA)
    assert view["id"] == second.json()["id"] == third["id"]


@pytest.mark.usefixtures("vision")
async def test_another_schema_is_another_run(api: Application, pdf: bytes):
    first, second = await _with_schema(api, pdf, SCHEMA), await _with_schema(api, pdf, "{}")
    assert first.json()["id"] != second.json()["id"]


@pytest.mark.usefixtures("vision")
@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ("{", "The parameter json_schema is wrong: it is not JSON"),
        ('{"$ref": "http://169.254.169.254/"}', "only references within it"),
        ('{"type": "strin"}', "it is no JSON Schema"),
    ],
)
async def test_a_schema_that_is_none_is_refused_with_why(api: Application, pdf: bytes, schema: str, why: str):
    response = await _with_schema(api, pdf, schema)
    assert (response.status_code, why in response.json()["detail"]) == (422, True), response.text


async def test_a_schema_that_the_model_cannot_follow_is_refused_at_once(api: Application, pdf: bytes):
    response = await _posted_raw(api, pdf, json_schema=SCHEMA, backend="embedded")
    assert (response.status_code, "cannot answer by a JSON Schema" in response.json()["detail"]) == (422, True)


async def test_no_other_field_than_the_document_and_the_schema_may_be_a_file(api: Application, pdf: bytes):
    response = await api.client.post("/documents", files={"file": ("a.pdf", pdf), "prompt": ("a.txt", b"Read.")})
    assert (response.status_code, "is a file" in response.json()["detail"]) == (422, True)


async def _with_results(api: Application, pdf: bytes, schema_sha256: str, *pages: PageResult) -> dict[str, Any]:
    """A run that has ended with these pages."""
    view = await _sent(api, pdf)
    results = await _ended(api, view, Completed())
    store = ResultStore(results)
    for each in pages:
        store.write_page(each)
    numbers = [each.page for each in pages]
    store.write_document(numbers)
    if schema_sha256:
        store.write_data(numbers)
    options = OPTIONS.model_copy(update={"schema_sha256": schema_sha256})
    store.write_manifest(manifest(store, *pages).model_copy(update={"options": options}), map(PageEntry.of, pages))
    return view


async def test_the_data_of_a_run_are_lines_of_json(api: Application, pdf: bytes):
    view = await _with_results(api, pdf, "a" * 64, page(1, data={"total": 1.5}))
    response = await api.client.get(view["links"]["data"])
    assert (response.status_code, response.headers["Content-Type"]) == (200, "application/jsonl")
    assert response.text == '{"page": 1, "status": "read", "data": {"total": 1.5}}\n'


async def test_a_page_and_its_event_hold_its_data(api: Application, pdf: bytes):
    view = await _with_results(api, pdf, "a" * 64, page(1, data={"total": 1.5}))
    response = await api.client.get(view["links"]["page"].format(number=1))
    assert response.json()["data"] == {"total": 1.5}
    events = await api.client.get(view["links"]["events"], params={"text": "true"})
    assert '"data": {"total": 1.5}' in events.text


async def test_a_run_without_a_schema_has_no_data(api: Application, pdf: bytes):
    view = await _with_results(api, pdf, "", page(1))
    response = await api.client.get(view["links"]["data"])
    assert (response.status_code, "posted without json_schema" in response.json()["detail"]) == (404, True)


async def test_all_stored_pages_are_lines_of_json(api: Application, pdf: bytes):
    view = await _with_results(api, pdf, "", page(1, "One."))
    response = await api.client.get(view["links"]["pages"])
    assert (response.status_code, response.headers["Content-Type"]) == (200, "application/jsonl")
    (line,) = map(json.loads, response.text.splitlines())
    assert (line["page"], line["text"], line["model"]) == (1, "One.", "qwen2.5vl:7b")
