"""Exported pages: a line for each page that is stored, of one document or of all."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest

from tasks.core.errors import FailureReason, InputError
from tasks.core.flags import Flag, FlagName
from tasks.results.export import ExportedPage, ExportFormat, exported, results_in, results_of
from tasks.results.page import Attempt, PageEntry, PageResult
from tasks.results.store import ResultStore
from tests.unit.tasks.results.stored import DOCUMENT, failed, manifest, page


def lines(store, *, lost=None, numbers=None):
    found = exported(store, ExportFormat.JSONL, (lost if lost is not None else []).append, numbers)
    return [json.loads(line) for line in found]


def finish(store: ResultStore, *results: PageResult) -> None:
    for result in results:
        store.write_page(result)
    store.write_manifest(manifest(store, *results), map(PageEntry.of, results))


def test_each_line_has_every_field(store):
    finish(store, page(1, "Grüße", confidence=0.9, tokens_in=7, tokens_out=3), failed(2))
    read, missed = lines(store)
    assert set(read) == set(missed) == set(ExportedPage.model_fields)
    assert (read["document"], read["sha256"], read["page"]) == ("/papers/paper.pdf", DOCUMENT.sha256, 1)
    assert (read["text"], read["source"], read["confidence"], read["doubtful"]) == ("Grüße", "model", 0.9, False)
    assert (read["tokens_in"], read["tokens_out"], read["model"]) == (7, 3, "qwen2.5vl:7b")
    assert (missed["status"], missed["reason"]) == ("failed", FailureReason.TRUNCATED)
    assert missed["detail"] == "The answer was cut off."


def test_attempts_are_counted_and_doubts_told(store):
    attempts = (
        Attempt(temperature=0.0, seconds=1.0, reason=FailureReason.REPETITION),
        Attempt(temperature=0.2, seconds=1.0),
    )
    flags = (Flag(name=FlagName.DAMAGED, detail="half of it is missing"),)
    finish(store, page(1, attempts=attempts, confidence=0.5, flags=flags))
    (line,) = lines(store)
    assert (line["attempts"], line["doubtful"]) == (2, True)
    assert line["flags"] == [{"name": "damaged", "detail": "half of it is missing"}]


def test_the_manifest_says_below_which_confidence_a_page_is_doubtful(store):
    store.write_page(page(1, confidence=0.5))
    below = manifest(store, page(1)).model_copy(update={"doubtful_below": 0.4})
    store.write_manifest(below, [PageEntry.of(page(1, confidence=0.5))])
    assert [line["doubtful"] for line in lines(store)] == [False]


def test_a_run_that_has_not_ended_has_the_pages_that_are_stored(store):
    for number in (10_001, 2, 9_999):
        store.write_page(page(number))
    assert [(line["page"], line["document"]) for line in lines(store)] == [(2, None), (9_999, None), (10_001, None)]


def test_a_text_never_breaks_a_line(store):
    text = "one\ntwo\u2028three\u0085four\rfive"
    finish(store, page(1, text))
    (line,) = exported(store, ExportFormat.JSONL, pytest.fail)
    assert line.splitlines() == [line.removesuffix("\n")]
    assert json.loads(line)["text"] == text


def test_a_page_that_cannot_be_read_is_told_and_the_others_are_exported(store):
    finish(store, page(1), page(2))
    (store.pages_path / "0001.json").write_text("{")
    lost = []
    assert [line["page"] for line in lines(store, lost=lost)] == [2]
    assert lost == [1]


def test_memory_does_not_grow_with_the_pages(store):
    for number in range(1, 61):
        store.write_page(page(number, "x" * 100_000))
    tracemalloc.start()
    try:
        assert sum(1 for _ in exported(store, ExportFormat.JSONL, pytest.fail)) == 60
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000


# Where the results are


def test_a_directory_is_that_of_one_document_or_of_all_below_it(tmp_path):
    for name in ("b-bbbbbbbbbbbb", "a-aaaaaaaaaaaa"):
        ResultStore(tmp_path / name).prepare()
    (tmp_path / "batches").mkdir()
    assert [store.directory.name for store in results_in(tmp_path)] == ["a-aaaaaaaaaaaa", "b-bbbbbbbbbbbb"]
    assert [store.directory.name for store in results_in(tmp_path / "b-bbbbbbbbbbbb")] == ["b-bbbbbbbbbbbb"]


@pytest.mark.parametrize("place", ["empty", "missing"])
def test_a_directory_without_results_is_refused_with_what_to_do(tmp_path, place):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"holds no results\. Name a document"):
        results_in(tmp_path / place)


def test_results_of_a_document_are_found_by_its_bytes_and_first_by_its_name(tmp_path):
    for name in ("other-aaaaaaaaaaaa", "paper-aaaaaaaaaaaa", "paper-bbbbbbbbbbbb"):
        ResultStore(tmp_path / name).prepare()
    assert results_of(Path("/x/paper.pdf"), "a" * 64, tmp_path).directory == tmp_path / "paper-aaaaaaaaaaaa"
    assert results_of(Path("/x/new.pdf"), "a" * 64, tmp_path).directory == tmp_path / "other-aaaaaaaaaaaa"
    with pytest.raises(InputError, match=r"paper\.pdf has no results in .*Read it first"):
        results_of(Path("/x/paper.pdf"), "c" * 64, tmp_path)
