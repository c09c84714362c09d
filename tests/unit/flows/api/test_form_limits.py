"""The limits of a plain document also hold for one in a form: ceilings, uploads, time, and space on disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import pdfs
from tests.unit.flows.api.application import Application, application


@pytest.fixture
def pdf(tmp_path: Path) -> bytes:
    return pdfs.written(tmp_path / "a.pdf", "One.").read_bytes()


def _kept(api: Application) -> list[str]:
    kept = (path for name in ("documents", "queue", "results") for path in (api.directory / name).iterdir())
    return [path.name for path in kept if path.name != ".lock"]


async def _posted(api: Application, pdf: bytes, name: str) -> None:
    assert (await api.client.post("/documents", files={"file": (name, pdf)})).status_code == 202


@pytest.mark.parametrize("fields", [{"backend": "ec2"}, {"model": "llama3.1:405b"}, {"max_usd": "1000"}], ids=str)
async def test_a_form_with_forbidden_options_is_refused_and_leaves_no_files(
    api: Application, pdf: bytes, fields: dict[str, str]
):
    response = await api.client.post("/documents", files={"file": pdf}, data=fields)
    assert response.status_code == 422, response.text
    assert _kept(api) == []


async def test_a_form_with_too_many_pages_is_refused(tmp_path: Path):
    pdf = pdfs.written(tmp_path / "a.pdf", "One.", "Two.").read_bytes()
    async with application(tmp_path, max_pages=1) as api:
        assert (await api.client.post("/documents", files={"file": pdf})).status_code == 413
        assert (await api.client.post("/documents", files={"file": pdf}, data={"pages": "1"})).status_code == 202


async def test_a_form_is_refused_while_there_are_too_many_uploads_or_no_space(tmp_path: Path, pdf: bytes):
    async with application(tmp_path, uploads=1, disk_gb=len(pdf) / 2e9) as api:
        with api.service.limits.upload():
            assert (await api.client.post("/documents", files={"file": pdf})).status_code == 429
        assert (await api.client.post("/documents", files={"file": pdf})).status_code == 413
        assert _kept(api) == []


async def test_a_form_that_stops_arriving_is_refused(api: Application, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("flows.api.limits.SILENT_SECONDS", 0.05)

    async def body() -> AsyncIterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.pdf"\r\n\r\n%PDF-'
        await asyncio.Event().wait()

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    chunks = body()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": await anext(chunks), "more_body": True}

    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        **{"type": "http", "method": "POST", "path": "/documents", "raw_path": b"/documents", "query_string": b""},
        **{"http_version": "1.1", "scheme": "http", "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 9)},
        "headers": [(b"host", b"127.0.0.1"), (b"content-type", headers["Content-Type"].encode())],
    }
    await api.app(scope, receive, send)
    assert sent[0]["status"] == 408
    assert _kept(api) == []


async def test_a_refused_form_frees_its_upload_at_once(api: Application, pdf: bytes):
    response = await api.client.post("/documents", files={"file": b"%PDF-" * 20_000, "other": ("b.pdf", pdf)})
    assert (response.status_code, api.service.limits.incoming, api.service.limits.open["uploads"]) == (422, 0, 0)


async def test_several_names_of_one_document_count_once(api: Application, pdf: bytes):
    await _posted(api, pdf, "first.pdf")
    limits = api.service.limits
    await limits.measure()
    once = limits.stored
    await _posted(api, pdf, "second.pdf")
    await limits.measure()
    assert limits.stored - once < len(pdf)
