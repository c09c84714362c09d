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
from tasks.core.jobs import Document, Job
from tasks.core.paths import S3Path, place_of, written

NAME = os.fsdecode(b"/data/caf\xe9 #1?.pdf")


@given(st.binary(min_size=1, max_size=20).filter(lambda name: not {0, 47} & set(name) and name not in {b".", b".."}))
def test_every_path_comes_back_from_its_text(name: bytes):
    path = Path("/data") / os.fsdecode(name)
    json.dumps(written(path)).encode()
    assert place_of(written(path)) == path


@pytest.mark.parametrize("text", ["/data/café.pdf", "relative/x.pdf", "/data/100%.pdf"])
def test_one_that_is_utf8_is_its_own_text(text: str):
    assert written(Path(text)) == text


def test_a_place_in_s3_is_its_uri():
    assert written(S3Path("bucket", "a/b.pdf")) == "s3://bucket/a/b.pdf"


def test_a_job_names_such_a_document():
    job = Job.model_validate_json(Job(document=NAME, output=NAME).model_dump_json())
    assert job.document == "file:///data/caf%E9%20%231%3F.pdf"
    assert place_of(job.document) == place_of(job.output or "") == Path(NAME)


def test_a_batch_does_too():
    batch = Batch.model_validate_json(Batch(sources=("/data", NAME)).model_dump_json())
    assert [place_of(source) for source in batch.sources] == [Path("/data"), Path(NAME)]


def test_a_document_is_stored_with_it():
    document = Document(path=Path(NAME), sha256="0" * 64, pages=1, size=1)
    assert Document.model_validate_json(document.model_dump_json()) == document
    assert document.name == r"caf\udce9 #1?"


@pytest.mark.parametrize("field", ["prompt", "model", "pages"])
def test_other_text_has_to_be_utf8(field: str):
    with pytest.raises(ValidationError):
        Job(document="x.pdf", **{field: "\udcff"})
