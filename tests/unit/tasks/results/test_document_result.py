"""What a run returns: paths and counts, and text that is read when it is asked for, in whichever process."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prefect.exceptions import FailedRun

from flows.orchestrator.result_json import RESULT_JSON
from tasks.core.errors import AllFailedError, InputError, StorageError
from tasks.core.jobs import Plan, page_identity
from tasks.core.page_ranges import format_ranges, parse_ranges
from tasks.results.document_result import DocumentResult
from tasks.results.listing import Listing
from tasks.results.manifest import Manifest, RunStatus
from tasks.results.page import PageEntry, PageResult, PageStatus
from tasks.results.store import ResultStore
from tests.unit.tasks.results.stored import DIGEST, DOCUMENT, OPTIONS, failed, page, planned

BEGAN = datetime(2026, 11, 1, tzinfo=UTC)


def stored(output: Path, *pages: PageResult, status: RunStatus = RunStatus.COMPLETE, **changes: Any) -> Manifest:
    """The manifest of a run that stored these pages."""
    store = ResultStore(output)
    store.prepare()
    for result in pages:
        store.write_page(result)
    entries = [PageEntry.of(result) for result in pages]
    manifest = Manifest(
        **{
            **{"status": status, "document": DOCUMENT, "model": "m", "digest": DIGEST, "options": OPTIONS},
            **{"endpoint": None, "pages": Listing.of(entries, store.manifest_path), "read_now": len(pages)},
            **{"started_at": BEGAN, "finished_at": BEGAN, "output": output},
        }
        | changes
    )
    store.write_document([result.page for result in pages])
    store.write_manifest(manifest, entries)
    return manifest


def result_of(output: Path, *pages: PageResult, **changes: Any) -> DocumentResult:
    return DocumentResult.of(planned(output=output), stored(output, *pages, **changes))


class TestData:
    def test_the_data_of_a_page_are_had_by_its_place(self, tmp_path: Path):
        options = OPTIONS.model_copy(update={"schema_sha256": "b" * 64})
        identity = page_identity(DOCUMENT.sha256, 1, DIGEST, options)
        result = result_of(tmp_path, page(1, data={"total": 1}, identity=identity), options=options)
        assert result.pages[0].data == {"total": 1}
        assert result.data_path == tmp_path / "data.jsonl"

    def test_without_a_schema_there_are_none(self, tmp_path: Path):
        result = result_of(tmp_path, page(1))
        assert (result.pages[0].data, result.data_path) == (None, None)


class TestText:
    def test_the_text_is_that_of_document_md(self, tmp_path: Path):
        result = result_of(tmp_path, page(1, "One."), page(2, "Two."), failed(3))
        assert result.text() == (tmp_path / "document.md").read_text()

    def test_a_page_is_had_by_its_place_in_the_result(self, tmp_path: Path):
        result = result_of(tmp_path, page(2, "Two."), page(5, "Five."))
        assert [each.text for each in result.pages] == ["Two.", "Five."]
        assert (result.pages[1].page, result.pages[-1].text, len(result.pages)) == (5, "Five.", 2)
        assert [each.page for each in result.pages[:1]] == [2]
        with pytest.raises(IndexError):
            _ = result.pages[2]

    def test_it_is_read_when_it_is_asked_for(self, tmp_path: Path):
        result = result_of(tmp_path, page(1, "One."))
        ResultStore(tmp_path).write_page(page(1, "Read once more."))
        assert result.pages[0].text == "Read once more."

    def test_a_page_that_is_gone_is_told_of(self, tmp_path: Path):
        result = result_of(tmp_path, page(1))
        (tmp_path / "pages" / "0001.json").unlink()
        with pytest.raises(StorageError, match="Page 1 of paper is not in"):
            result.text()

    def test_a_page_that_another_request_has_replaced_is_told_of(self, tmp_path: Path):
        result = result_of(tmp_path, page(1))
        ResultStore(tmp_path).write_page(page(1, "By another model.", digest="e" * 64))
        with pytest.raises(StorageError, match="was read again since"):
            _ = result.pages[0].text

    def test_a_run_that_began_no_page_has_none(self, tmp_path: Path):
        result = DocumentResult.of(planned(output=tmp_path), None)
        assert (result.status, result.document_path, len(result.pages), result.text()) == ("stopped", None, 0, "")


class TestCounts:
    def test_it_counts_as_the_manifest_does(self, tmp_path: Path):
        manifest = stored(tmp_path, page(1), failed(2), status=RunStatus.PARTIAL)
        result = DocumentResult.of(planned(output=tmp_path), manifest)
        for status in PageStatus:
            assert result.count(status) == manifest.count(status)
        assert result.totals().items() <= manifest.totals().items()
        assert [each.page for each in result.failed] == [each.page for each in manifest.failed]

    def test_paths_are_those_of_the_results(self, tmp_path: Path):
        result = result_of(tmp_path, page(1))
        assert result.document_path is not None
        assert result.document_path.read_text() == result.text()
        assert json.loads(Path(str(result.manifest_path)).read_text())["status"] == "complete"
        assert [path.name for path in Path(str(result.pages_path)).iterdir()] == ["0001.json"]

    def test_a_directory_of_results_can_be_loaded(self, tmp_path: Path):
        result = result_of(tmp_path, page(1), page(2))
        assert DocumentResult.load(tmp_path) == result
        with pytest.raises(StorageError, match="holds no results"):
            DocumentResult.load(tmp_path / "nowhere")


class TestStored:
    def test_another_process_has_the_same_result(self, tmp_path: Path):
        result = result_of(tmp_path, page(1, "One."))
        assert RESULT_JSON.loads(RESULT_JSON.dumps(result)) == result

    def test_one_without_hearth_has_its_paths(self, tmp_path: Path):
        result = result_of(tmp_path, page(1))
        assert json.loads(RESULT_JSON.dumps(result))["data"]["document_path"] == str(result.document_path)

    def test_what_another_version_adds_is_left_out(self, tmp_path: Path):
        result = result_of(tmp_path, page(1))
        assert DocumentResult.model_validate(result.model_dump(mode="json") | {"new": 1}) == result

    @pytest.mark.parametrize("error", [InputError("It is no PDF."), AllFailedError("It is no PDF.")])
    def test_an_error_is_prefects_own_with_the_sentence(self, error: Exception):
        loaded = RESULT_JSON.loads(RESULT_JSON.dumps(error))
        assert (type(loaded), str(loaded)) == (FailedRun, "It is no PDF.")


class TestForce:
    """Pages are read anew once since the run began."""

    def missing(self, output: Path, plan: Plan, *pages: PageResult) -> tuple[int, ...]:
        store = ResultStore(output)
        store.prepare()
        for result in pages:
            store.write_page(result)
        return store.missing(plan, DIGEST)

    def test_pages_from_before_the_run_are_missing_and_those_since_are_not(self, tmp_path: Path):
        plan = planned(output=tmp_path, force=True, began=BEGAN)
        pages = (
            page(1, finished_at=BEGAN - timedelta(microseconds=1)),
            page(2, finished_at=BEGAN),
            page(3, finished_at=BEGAN + timedelta(hours=9)),
        )
        assert self.missing(tmp_path, plan, *pages) == (1,)

    def test_a_page_that_failed_since_is_missing(self, tmp_path: Path):
        plan = planned(output=tmp_path, force=True, began=BEGAN, numbers=(1,))
        assert self.missing(
            tmp_path, plan, failed(1).model_copy(update={"finished_at": BEGAN + timedelta(hours=1)})
        ) == (1,)

    def test_without_it_any_time_will_do(self, tmp_path: Path):
        plan = planned(output=tmp_path, began=BEGAN, numbers=(1,))
        assert self.missing(tmp_path, plan, page(1, finished_at=BEGAN - timedelta(days=99))) == ()


@given(st.sets(st.integers(1, 10_000)))
def test_page_numbers_survive_being_written_in_short(numbers: set[int]):
    assert list(parse_ranges(format_ranges(sorted(numbers)))) == sorted(numbers)
