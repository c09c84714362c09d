"""Results under s3://: the layout of a directory, what is stored in it, and which writes are refused."""

from __future__ import annotations

import asyncio
import errno
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from tasks.core.errors import InputError, OutputError, StorageError
from tasks.results.export import ExportFormat, exported, results_in
from tasks.results.page import Attempt, PageEntry
from tasks.results.store import ResultStore, results_directory
from tasks.storage.files import S3Path, parse_path
from tests.integration.s3.result_places import new_store
from tests.support.aws.buckets import BUCKET, body, keys
from tests.support.aws.faults import Fault, denied, dropped, lost_answer
from tests.support.aws.front import AwsFront
from tests.support.aws.moto_server import Moto
from tests.support.aws.wire import Call
from tests.support.waiting import PATIENCE
from tests.unit.tasks.results.stored import DIGEST, DOCUMENT, blank, breaking, failed, manifest, page, planned

pytestmark = pytest.mark.long("S3 for each test: up to 8 s")

FOLDER = "results/paper-aaaaaaaaaaaa"


def gets(aws: AwsFront) -> int:
    """How often a page was asked for."""
    return sum(call.path.endswith("json") and "/pages/" in call.path for call in aws.called("GET"))


# The layout


@pytest.mark.always
def test_the_layout_equals_that_of_a_directory(store: ResultStore, s3: Any, tmp_path: Path):
    local = ResultStore(results_directory(tmp_path, DOCUMENT))
    local.prepare()
    results = (page(1, data={"name": "Grüße"}), failed(2), blank(3))
    for each in (store, local):
        for result in results:
            each.write_page(result)
        each.write_document((1, 2, 3))
        each.write_data((1, 2, 3))
        each.write_manifest(manifest(store), map(PageEntry.of, results))
    files = {f"results/{path.relative_to(tmp_path)}": path for path in tmp_path.rglob("*.*") if path.is_file()}
    assert len(files) == 6
    assert keys(s3) == set(files)
    for key, path in files.items():
        assert body(s3, key) == path.read_bytes()


@pytest.mark.always
def test_an_export_finds_the_documents_of_a_bucket_and_all_their_pages(store: ResultStore, s3: Any):
    for number in (2, 1, 10_000):
        store.write_page(page(number))
    (found,) = results_in(store.directory.parent)
    assert found.directory == store.directory
    assert [found.directory for found in results_in(store.directory)] == [store.directory]
    lines = exported(found, ExportFormat.JSONL, pytest.fail)
    assert [json.loads(line)["page"] for line in lines] == [1, 2, 10_000]


@pytest.mark.always
def test_a_page_reads_back_as_it_was_written(store: ResultStore):
    store.write_page(page(2, "Grüße ∑ 漢字"))
    assert store.page(2) == page(2, "Grüße ∑ 漢字")


def test_a_later_result_replaces_an_earlier_one(store: ResultStore):
    store.write_page(page(1, "once"))
    store.write_page(page(1, "twice"))
    assert store.page(1).text == "twice"


@pytest.mark.always
def test_a_manifest_reads_back_as_it_was_written_and_lists_its_pages(store: ResultStore):
    results = (page(1), failed(2), blank(4))
    written = manifest(store, *results).model_copy(update={"output": store.directory})
    store.write_manifest(written, map(PageEntry.of, results))
    assert store.manifest() == written
    assert list(store.manifest().pages) == list(map(PageEntry.of, results))


def test_before_the_first_run_there_is_nothing(store: ResultStore):
    assert store.manifest() is None
    assert store.page(1) is None
    assert not store.has_document()


def test_a_large_text_is_sent_in_parts(store: ResultStore, s3: Any):
    for number in range(1, 4):
        store.write_page(page(number, f"{number}" * 3_000_000))
    store.write_document((1, 2, 3))
    assert len(body(s3, f"{FOLDER}/document.md")) > 9_000_000
    assert s3.head_object(Bucket=BUCKET, Key=f"{FOLDER}/document.md")["ETag"].endswith('-2"')


def test_an_interrupted_upload_of_the_text_keeps_the_old_one(store: ResultStore, s3: Any):
    store.write_page(page(1, "whole"))
    store.write_document((1,))
    before = body(s3, f"{FOLDER}/document.md")
    with pytest.raises(StorageError, match=r"document\.md cannot be written"):
        store.write_document(breaking(OSError(errno.ENOSPC, "No space left on device"), 1))
    assert body(s3, f"{FOLDER}/document.md") == before


# What stands


def test_only_stored_pages_are_fetched(store: ResultStore, aws: AwsFront):
    for number in (2, 7):
        store.write_page(page(number))
    plan = planned(numbers=tuple(range(1, 10)))
    assert new_store().missing(plan, DIGEST) == (1, 3, 4, 5, 6, 8, 9)
    assert gets(aws) == 2


def test_unchanged_pages_are_fetched_once(store: ResultStore, aws: AwsFront):
    for number in (1, 2, 3):
        store.write_page(page(number))
    other = new_store()
    assert other.missing(planned(), DIGEST) == ()
    store.write_page(page(2, "anew"))
    assert [result.text for result in other.results((1, 2, 3))] == ["Hello.", "anew", "Hello."]
    assert gets(aws) == 5  # 3, one to write on condition, and the changed one


def test_at_most_16_pages_are_fetched_in_parallel(store: ResultStore, aws: AwsFront):
    numbers = tuple(range(1, 41))
    for number in numbers:
        store.write_page(page(number))
    now = most = 0

    async def counted(call: Call, proceed: Any) -> Any:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.1)  # for those beyond the limit, if there are any
        async with asyncio.timeout(PATIENCE):
            while most <= 4:
                await asyncio.sleep(0.01)
        now -= 1
        return await proceed(call)

    aws.inject(Fault("counted", counted), "GET", times=None, where=lambda call: "/pages/" in call.path)
    assert new_store().missing(planned(numbers=numbers), DIGEST) == ()
    assert 4 < most <= 16


def test_pages_over_9999_are_found(store: ResultStore):
    numbers = (1, 1000, 9999, 10_000, 10_001, 19_999)
    for number in numbers[1:]:
        store.write_page(page(number))
    assert store.missing(planned(numbers=numbers), DIGEST) == (1,)


def test_writing_and_reading_a_manifest_does_not_hold_its_pages_in_memory(
    moto: Moto, s3: Any, monkeypatch: pytest.MonkeyPatch
):
    """3,000 entries of 8 kB would be 24 MB; a part that is sent or fetched has 8 MB."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto.url)  # the front holds what passes through it
    store = new_store()
    attempts = tuple(Attempt(temperature=0.0, seconds=1.0, detail=f"{number}" * 100) for number in range(50))
    tracemalloc.start()
    try:
        entries = (PageEntry.of(page(number, attempts=attempts)) for number in range(3000))
        store.write_manifest(manifest(store), entries)
        assert store.manifest().pages.read == 3000
        assert tracemalloc.get_traced_memory()[1] < 18_000_000
    finally:
        tracemalloc.stop()


# Refusals


def test_a_missing_bucket_is_named_before_the_start(s3: Any):
    store = ResultStore(S3Path("no-such-bucket", "results"))
    with pytest.raises(OutputError, match=r"written to s3://no-such-bucket/results: there is no such bucket.*--output"):
        store.prepare()


@pytest.mark.parametrize("action", ["PUT", "GET"])
def test_a_bucket_without_permission_is_named_before_the_start(store: ResultStore, aws: AwsFront, action: str):
    aws.inject(denied(), action, times=None)
    with pytest.raises(OutputError, match=r"AWS does not permit it\. Allow s3:ListBucket.*--output"):
        store.prepare()


def test_a_page_that_cannot_be_written_ends_the_run(store: ResultStore, aws: AwsFront):
    aws.inject(denied(), "PUT", times=None)
    with pytest.raises(StorageError, match=r"0001\.json cannot be written: AWS does not permit it.*pages .* kept"):
        store.write_page(page(1))


@pytest.mark.parametrize("fault", [dropped(), lost_answer()], ids=lambda fault: fault.name)
def test_a_write_without_a_response_is_repeated(store: ResultStore, aws: AwsFront, fault: Fault):
    aws.inject(fault, "PUT")
    store.write_page(page(1))
    assert store.page(1) == page(1)


@pytest.mark.always
@pytest.mark.parametrize("uri", ["s3://", "s3://B/x", "s3:///x", "s3://a_b/x"])
def test_a_path_without_a_bucket_is_refused_with_an_example(uri: str):
    with pytest.raises(InputError, match=r"names no S3 bucket\. Write it like s3://bucket/prefix"):
        parse_path(uri)
