"""Paths as text: names on Linux are bytes, and JSON holds characters."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tasks.batches.batch import Batch
from tasks.core.errors import InputError
from tasks.core.jobs import Document, Job
from tasks.core.paths import S3Path, format_path, parse_path
from tasks.settings.settings import load_settings

NAME = os.fsdecode(b"/data/caf\xe9 #1?.pdf")


@given(st.binary(min_size=1, max_size=20).filter(lambda name: not {0, 47} & set(name) and name not in {b".", b".."}))
def test_every_path_comes_back_from_its_text(name: bytes):
    path = Path("/data") / os.fsdecode(name)
    json.dumps(format_path(path)).encode()
    assert parse_path(format_path(path)) == path


@pytest.mark.parametrize("text", ["/data/café.pdf", "relative/x.pdf", "/data/100%.pdf"])
def test_one_that_is_utf8_is_its_own_text(text: str):
    assert format_path(Path(text)) == text


def test_a_place_in_s3_is_its_uri():
    assert format_path(S3Path("bucket", "a/b.pdf")) == "s3://bucket/a/b.pdf"


def test_a_job_names_such_a_document():
    job = Job.model_validate_json(Job(document=NAME, output=NAME).model_dump_json())
    assert job.document == "file:///data/caf%E9%20%231%3F.pdf"
    assert parse_path(job.document) == parse_path(job.output or "") == Path(NAME)


def test_a_batch_does_too():
    batch = Batch.model_validate_json(Batch(sources=("/data", NAME)).model_dump_json())
    assert [parse_path(source) for source in batch.sources] == [Path("/data"), Path(NAME)]


def test_a_document_is_stored_with_it():
    document = Document(path=Path(NAME), sha256="0" * 64, pages=1, size=1)
    assert Document.model_validate_json(document.model_dump_json()) == document
    assert document.name == r"caf\udce9 #1?"


@pytest.mark.parametrize("scheme", ["http", "https", "HTTPS", "ftp", "gs", "S3", "data+x"])
def test_an_address_is_refused_with_what_to_do(scheme: str):
    with pytest.raises(InputError, match=r"host/a\.pdf is a URL.*curl -fL URL \| hearth read -"):
        parse_path(f"{scheme}://host/a.pdf")


def test_what_is_secret_in_an_address_is_not_repeated():
    with pytest.raises(InputError) as refused:
        parse_path("https://user:secret@host/a.pdf?X-Amz-Signature=secret#secret")
    assert "secret" not in str(refused.value)
    assert "https://host/a.pdf" in str(refused.value)


@pytest.mark.parametrize("name", ["output", "inbox"])
def test_a_setting_that_is_a_place_is_no_address_either(monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.setenv(f"HEARTH_{name.upper()}", "https://host/results")
    with pytest.raises(InputError, match="is a URL"):
        load_settings()


@pytest.mark.parametrize("text", ["http:/one-slash.pdf", "a:b.pdf", "1://x.pdf", "/data/https://x.pdf", "C:\\x.pdf"])
def test_a_name_that_looks_a_little_like_one_is_a_path(text: str):
    assert parse_path(text) == Path(text)


@pytest.mark.parametrize("field", ["prompt", "model", "pages"])
def test_other_text_has_to_be_utf8(field: str):
    with pytest.raises(ValidationError):
        Job(document="x.pdf", **{field: "\udcff"})
