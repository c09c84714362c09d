"""An upgrade pays for nothing again: what the version before profiles stored is complete, and no server is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tasks.batches.batch import Batch, Source
from tasks.batches.document_index import DocumentIndex
from tasks.core.jobs import Job
from tasks.results.document_result import DocumentResult
from tasks.results.manifest import RunStatus
from tasks.results.rows import DocumentStatus
from tasks.runs.prepare import Prepared, prepare
from tasks.runs.run_recorder import RunRecorder
from tasks.settings.settings import load_settings
from tasks.slots.store import FileStore
from tests.support.upgrade import restore

SERVER = "http://127.0.0.1:47411"
"""Where the pages were read then; nothing answers there now."""
AS_BEFORE = {"backend": "url", "model": "tesseract:eng"}
WITH_OPTIONS = {**AS_BEFORE, "prompt": "Read.", "longest_side": 900, "num_ctx": 4096, "num_predict": 2048}
TEXT = "The first page was read before."


@pytest.fixture
def letter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEARTH_URL", SERVER)
    return restore(tmp_path)


async def prepared(letter: Path, results: str, **options: Any) -> Prepared:
    output = str(letter.parent.parent / results)
    found = await prepare(Job(document=str(letter), output=output, **options), load_settings())
    found.file.close()
    return found


@pytest.mark.parametrize(("results", "options"), [("results", AS_BEFORE), ("options", WITH_OPTIONS)])
async def test_every_page_is_complete_and_nothing_is_read(letter, results, options):
    found = await prepared(letter, results, **options)
    assert found.nothing_left()
    manifest = RunRecorder(found).close()
    assert manifest is not None
    assert (manifest.status, manifest.pages.read, manifest.read_now) == (RunStatus.COMPLETE, 3, 0)
    assert found.store.page(1).text == TEXT


@pytest.mark.parametrize(
    "other", [{"prompt": "Transcribe."}, {"longest_side": 900}, {"headers": "drop"}, {"profile": "gemma3"}]
)
async def test_another_request_reads_the_pages_anew(letter, other):
    found = await prepared(letter, "results", **{**AS_BEFORE, **other})
    assert found.store.missing(found.plan, found.digest or "") == (1, 2, 3)


async def test_a_run_that_is_forced_reads_the_pages_anew(letter):
    found = await prepared(letter, "results", **AS_BEFORE, force=True)
    assert not found.nothing_left()


@pytest.mark.parametrize("settings", [{}, {"DOUBTFUL_BELOW": "0.5"}, {"PROFILES_DIRECTORY": "."}])
def test_a_batch_does_not_open_the_document_again(letter, settings, monkeypatch):
    for name, value in settings.items():
        monkeypatch.setenv(f"HEARTH_READ__{name}", value)
    index = DocumentIndex(letter.parent.parent / "results", Batch(**AS_BEFORE), load_settings())
    row = index.unchanged(Source.of(letter))
    assert row is not None
    assert (row.status, row.pages) == (DocumentStatus.UNCHANGED, 3)


@pytest.mark.parametrize("options", [{"headers": "drop"}, {"pictures": "placeholder"}, {"profile": "gemma3"}])
def test_a_batch_of_other_options_opens_it_again(letter, options):
    index = DocumentIndex(letter.parent.parent / "results", Batch(**AS_BEFORE, **options), load_settings())
    assert index.unchanged(Source.of(letter)) is None


@pytest.mark.parametrize(("name", "value"), [("PROFILE", "gemma3"), ("STOP", '["x"]'), ("SAMPLING", '{"top_k": 1}')])
def test_a_batch_with_other_settings_opens_it_again(letter, monkeypatch, name, value):
    monkeypatch.setenv(f"HEARTH_READ__{name}", value)
    index = DocumentIndex(letter.parent.parent / "results", Batch(**AS_BEFORE), load_settings())
    assert index.unchanged(Source.of(letter)) is None


def test_the_result_gives_the_text_of_its_pages(letter):
    (directory,) = (letter.parent.parent / "results").glob("letter-*")
    result = DocumentResult.load(directory)
    assert (result.pages[0].text, result.counts.confidence_unknown) == (TEXT, 3)


async def test_what_was_measured_of_a_server_is_known_still(letter):
    ledger = await FileStore.of(letter.parent.parent / "home", SERVER).change(lambda found: found)
    (measured,) = ledger.measured.values()
    assert (measured.slots, measured.sure) == (2, True)
