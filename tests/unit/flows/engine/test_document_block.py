"""Documents that a task run shows: how it is named, what it shows, and how it ends."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from flows.engine import document_block
from flows.engine.batch_observer import BatchObserver
from flows.engine.document_block import DocumentBlock
from tasks.batches.batch import Source
from tasks.reading.events import LayersCounted
from tasks.results.rows import DocumentStatus, Row
from tasks.runs.run_stats import RunStats
from tasks.views.summary import documents


@pytest.fixture
def block(monkeypatch: pytest.MonkeyPatch) -> DocumentBlock:
    monkeypatch.setattr(document_block, "get_run_logger", lambda: logging.getLogger("hearth.test"))
    return DocumentBlock([Source(Path(f"/inbox/{name}.pdf"), "1") for name in "abc"], 26)


def row(name: str, status: DocumentStatus, why: str = "") -> Row:
    text = f"/out/{name}/document.md" if status is DocumentStatus.READ else ""
    return Row(document=f"/inbox/{name}.pdf", status=status, pages=1, why=why, text=text)


async def test_a_block_is_named_after_its_place_and_its_first_and_last_document(block):
    assert str(block) == "documents 26-28: a.pdf to c.pdf"


@pytest.mark.parametrize(
    ("statuses", "kind", "name", "message"),
    [
        (("read", "read", "unchanged"), "COMPLETED", "Completed", "2 read, 1 unchanged"),
        (("read", "failed", "read"), "COMPLETED", "Partial", "2 read, 1 failed"),
        (("read", "partial", "read"), "COMPLETED", "Partial", "2 read, 1 partial"),
        (("read", "left", "failed"), "COMPLETED", "Stopped", "1 read, 1 left, 1 failed"),
        (("failed", "failed", "failed"), "FAILED", "Failed", "3 failed"),
    ],
)
async def test_a_block_ends_by_the_results_of_its_documents(block, statuses, kind, name, message):
    for document, status in zip("abc", statuses, strict=True):
        block.add(row(document, DocumentStatus(status)))
    state = block.state()
    assert (state.type, state.name, state.message) == (kind, name, message)


async def test_a_failed_document_is_logged_with_the_reason(block, caplog):
    block.add(row("b", DocumentStatus.FAILED, "It is truncated."))
    assert "/inbox/b.pdf: failed. It is truncated." in caplog.text


def test_the_table_of_documents_has_a_link_to_each_text_and_the_reason_of_each_failure():
    table = documents([row("a", DocumentStatus.READ), row("b", DocumentStatus.FAILED, "It is truncated.")])
    read, failed = table.splitlines()[2:]
    assert "(file:///out/a/document.md)" in read
    assert "It is truncated." in failed


def observer(*counted: tuple[int, int]) -> BatchObserver:
    batch = BatchObserver(RunStats(0.0, 1288))
    for sound, pages in counted:
        batch(LayersCounted(sound, pages))
    return batch


def test_sound_text_layers_of_some_documents_stand_for_those_of_all():
    assert observer((2, 4), (1, 2)).layers(600) == (300, 600)


def test_sound_text_layers_that_were_all_counted_are_not_estimated():
    assert observer((2, 4), (1, 2)).layers(6) == (3, 6)


def test_without_a_count_no_text_layer_is_taken_to_be_sound():
    assert observer().layers(10) == (0, 10)
