"""What stands on disk after a run: the manifest, which lists each page."""

from __future__ import annotations

import errno
import json
import tracemalloc
from collections.abc import Iterator

import pytest

from tasks.core.errors import StorageError
from tasks.results.manifest import Manifest
from tasks.results.page import Attempt, PageEntry, PageResult, PageStatus
from tasks.results.store import ResultStore
from tests.unit.tasks.results.stored import blank, failed, files, flagged, manifest, page


def test_the_flagged_pages_of_a_manifest_are_counted_and_found(store):
    written = write_manifest(store, page(1), flagged(2), failed(3))
    assert written.pages.flagged == 1
    assert [entry.page for entry in written.flagged(5)] == [2]


def write_manifest(store: ResultStore, *results: PageResult) -> Manifest:
    written = manifest(store, *results)
    store.write_manifest(written, map(PageEntry.of, results))
    return written


@pytest.mark.parametrize("results", [(), (page(1),), (page(1), failed(2), blank(4))], ids=["none", "one", "several"])
def test_the_manifest_reads_back_as_it_was_written(store, results):
    written = write_manifest(store, *results)
    assert store.manifest() == written


def test_the_manifest_lists_each_page_in_its_file(store):
    write_manifest(store, page(1), failed(2), blank(4))
    stored = json.loads(store.manifest_path.read_text())
    assert [(entry["page"], entry["status"]) for entry in stored["pages"]] == [(1, "read"), (2, "failed"), (4, "blank")]
    assert stored["pages"][1] == PageEntry.of(failed(2)).model_dump(mode="json")
    assert (stored["schema_version"], stored["document"]["pages"]) == (1, 9)


def test_the_pages_of_a_manifest_are_counted_and_listed(store):
    results = (page(1, tokens_in=300, tokens_out=20), failed(2), blank(4), page(5, tokens_in=1))
    write_manifest(store, *results)
    told = store.manifest()
    assert list(told.pages) == list(map(PageEntry.of, results))
    assert (len(told.pages), told.count(PageStatus.READ), told.count(PageStatus.BLANK)) == (4, 2, 1)
    assert (told.failed, told.count(PageStatus.FAILED)) == ((PageEntry.of(failed(2)),), 1)
    assert (told.totals()["tokens_in"], told.totals()["tokens_out"]) == (301, 20)


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_manifest_that_is_cut_off_is_as_none(store, kept):
    write_manifest(store, page(1), page(2), failed(3))
    whole = store.manifest_path.read_bytes()
    store.manifest_path.write_bytes(whole[: int(len(whole) * kept)])
    assert store.manifest() is None


@pytest.mark.parametrize(("old", "new"), [('"page":2', '"page":"two"'), ('"schema_version": 1', '"schema_version": 2')])
def test_a_manifest_that_cannot_be_understood_is_as_none(store, old, new):
    write_manifest(store, page(1), page(2))
    told = store.manifest_path.read_text()
    assert old in told
    store.manifest_path.write_text(told.replace(old, new))
    assert store.manifest() is None


def test_a_manifest_whose_pages_cannot_be_read_leaves_the_old_one(store):
    before = write_manifest(store, page(1))

    def entries() -> Iterator[PageEntry]:
        yield PageEntry.of(page(2))
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(StorageError):
        store.write_manifest(manifest(store, page(2)), entries())
    assert store.manifest() == before
    assert files(store) == {"manifest.json"}


def test_neither_writing_nor_reading_a_manifest_holds_its_pages(store):
    """3,000 entries of 8 kB: held at once, they would be 24 MB."""
    attempts = tuple(Attempt(temperature=0.0, seconds=1.0, detail=f"{number}" * 100) for number in range(50))
    entries = (PageEntry.of(page(number, attempts=attempts)) for number in range(3000))
    tracemalloc.start()
    try:
        store.write_manifest(manifest(store), entries)
        assert store.manifest().pages.read == 3000
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_there_is_no_manifest_before_the_first_run_ends(tmp_path):
    assert ResultStore(tmp_path / "none").manifest() is None
