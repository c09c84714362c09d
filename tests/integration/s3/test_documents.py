"""Documents under s3://: listed, and checked for changes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tasks.batches.batch import Batch, Source, find_documents
from tasks.batches.document_index import DocumentIndex
from tasks.batches.one_at_a_time import AlreadyReadError, one_at_a_time
from tasks.core.errors import InputError
from tasks.results.rows import DocumentStatus, Row
from tasks.settings.settings import Settings
from tasks.storage import s3_client as objects
from tasks.storage.files import S3Path, files_at
from tests.integration.s3.papers import PAPER, ROOT, stored
from tests.support import pdfs
from tests.support.aws.buckets import BUCKET
from tests.support.aws.front import AwsFront

pytestmark = pytest.mark.long("documents in S3 in each way: 15 s in all; test_read reads one")


def found(*sources: str) -> list[str]:
    return [str(source.path).removeprefix(f"s3://{BUCKET}/") for source in find_documents(sources)]


# Which there are


@pytest.mark.parametrize("source", ["s3://papers/inbox", "s3://papers/inbox/"])
def test_the_pdfs_below_a_prefix_are_found_in_order(s3: Any, source: str):
    stored(s3, "inbox/b.PDF", "inbox/a/deep.pdf", "inbox/notes.txt", "inbox2/other.pdf", "inbox.pdf", "inbox/")
    assert found(source) == ["inbox/a/deep.pdf", "inbox/b.PDF"]


def test_a_whole_bucket_is_a_source(s3: Any):
    stored(s3, "one.pdf", "deep/two.pdf")
    assert found("s3://papers") == ["deep/two.pdf", "one.pdf"]


def test_a_listing_of_several_pages_is_read_completely(s3: Any):
    stored(s3, *(f"inbox/{number}.pdf" for number in range(5)))
    listed = objects.list_objects(S3Path(BUCKET, "inbox"), most=2)
    assert [each.path.name for each in listed] == [f"{number}.pdf" for number in range(5)]


def test_a_list_in_s3_may_name_documents_beside_it_and_elsewhere(s3: Any, tmp_path: Path):
    local = pdfs.written(tmp_path / "local.pdf", "one")
    lines = f"# the papers\n\na.pdf\ndeep/b.pdf\ns3://{BUCKET}/else/c.pdf\n{local}\n"
    s3.put_object(Bucket=BUCKET, Key="inbox/list.txt", Body=lines.encode())
    places = [source.path for source in find_documents(["s3://papers/inbox/list.txt"])]
    keys = ("inbox/a.pdf", "inbox/deep/b.pdf", "else/c.pdf")
    assert places == [*(S3Path(BUCKET, key) for key in keys), local]


def test_a_local_list_may_name_documents_in_s3(s3: Any, tmp_path: Path):
    (tmp_path / "list.txt").write_text("s3://papers/inbox\n")
    stored(s3, "inbox/a.pdf")
    assert found(str(tmp_path / "list.txt")) == ["inbox/a.pdf"]


def test_a_document_that_is_named_twice_is_found_once(s3: Any):
    stored(s3, "inbox/a.pdf")
    named = list(find_documents(["s3://papers/inbox/a.pdf"]))
    assert list(find_documents(["s3://papers/inbox"])) == named
    assert list(find_documents(["s3://papers/inbox/a.pdf", "s3://papers/inbox"])) == named


@pytest.mark.parametrize("source", ["s3://no-such-bucket/inbox", "s3://papers/no-such-list.txt"])
def test_a_missing_source_is_named(s3: Any, source: str):
    with pytest.raises(InputError, match=f"{source} .*batch's sources"):
        found(source)


# Which have changed


def test_the_version_changes_only_with_the_content(s3: Any):
    def version() -> str:
        (source,) = find_documents(["s3://papers/inbox"])
        return source.version

    stored(s3, "inbox/a.pdf")
    first = version()
    stored(s3, "inbox/a.pdf")
    assert version() == first
    s3.put_object(Bucket=BUCKET, Key="inbox/a.pdf", Body=b"changed")
    assert version() != first


async def noted(source: Source, output: S3Path, **changes: Any) -> None:
    row = Row(document=str(source.path), status=DocumentStatus.READ, pages=3, output=f"{output}/a-123")
    async with DocumentIndex(output, Batch(**changes), Settings()) as shelf:
        shelf.note(source, row)


async def test_a_document_that_was_read_is_unchanged_until_it_changes(s3: Any):
    output = S3Path(BUCKET, "results")
    stored(s3, "results/a-123/document.md")
    source, other = Source(PAPER, '"one"'), Source(PAPER.parent / "b.pdf", '"b"')
    await noted(source, output)
    await noted(other, output)
    shelf = DocumentIndex(output, Batch(), Settings())
    assert shelf.unchanged(source).status is DocumentStatus.UNCHANGED
    assert shelf.unchanged(other) is not None
    assert shelf.unchanged(Source(PAPER, '"two"')) is None
    assert DocumentIndex(output, Batch(prompt="Other."), Settings()).unchanged(source) is None
    assert DocumentIndex(output, Batch(languages="deu"), Settings()).unchanged(source) is None
    assert DocumentIndex(output, Batch(), Settings(languages="deu")).unchanged(source) is None


async def test_a_document_without_its_results_is_not_unchanged(s3: Any):
    source = Source(PAPER, '"one"')
    await noted(source, S3Path(BUCKET, "results"))
    assert DocumentIndex(S3Path(BUCKET, "results"), Batch(), Settings()).unchanged(source) is None


async def test_the_unread_pages_of_a_partly_read_document_are_known(s3: Any):
    output = S3Path(BUCKET, "results")
    stored(s3, "results/a-123/document.md")
    source = Source(PAPER, '"one"')
    row = Row(document=str(PAPER), status=DocumentStatus.PARTIAL, pages=100, left=1, output=f"{output}/a-123")
    async with DocumentIndex(output, Batch(), Settings()) as shelf:
        shelf.note(source, row)
    shelf = DocumentIndex(output, Batch(), Settings())
    assert shelf.unchanged(source) is None
    assert shelf.left(source) == 1
    assert shelf.left(Source(PAPER, '"two"')) is None
    await noted(source, output)
    assert DocumentIndex(output, Batch(), Settings()).left(source) == 0


async def test_many_documents_are_recorded_with_few_writes(s3: Any, aws: AwsFront):
    output = S3Path(BUCKET, "results")
    async with DocumentIndex(output, Batch(), Settings()) as shelf:
        for number in range(50):
            row = Row(document=f"{number}", status=DocumentStatus.READ, output=f"{output}/x")
            shelf.note(Source(PAPER.parent / f"{number}.pdf", "v"), row)
    assert len(s3.get_object(Bucket=BUCKET, Key="results/documents.jsonl")["Body"].read().splitlines()) == 50
    assert len(aws.called("PUT")) < 10


# Only who uses S3 pays for it


def test_without_s3_boto_is_not_imported(tmp_path: Path):
    code = """
import asyncio, sys
from pathlib import Path
from tasks.batches.batch import Batch, find_documents
from tasks.core.jobs import Job
from tasks.runs.prepare import prepare
from tasks.settings.settings import Settings
from tasks.batches.document_index import DocumentIndex
from tasks.batches.one_at_a_time import AlreadyReadError, one_at_a_time
pdf, output = sys.argv[1:]
prepared = asyncio.run(prepare(Job(document=pdf, output=output, backend="url"), Settings(url="http://127.0.0.1:9")))
prepared.store.prepare()
prepared.store.missing(prepared.plan, "d")
(source,) = find_documents([pdf])
DocumentIndex(Path(output), Batch(), Settings()).unchanged(source)
print([name for name in sys.modules if name.startswith("boto")])
"""
    pdf = pdfs.written(tmp_path / "paper.pdf", "one")
    command = [sys.executable, "-c", code, str(pdf), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "[]\n"


# One at a time, and lines written anew


async def test_one_of_two_nightly_batches_reads_and_a_killed_one_blocks_none(s3: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tasks.storage.s3_lock.EXPIRY_SECONDS", 1.0)
    monkeypatch.setattr("tasks.storage.s3.LOCK_POLL_SECONDS", 0.1)
    output, sources = S3Path(BUCKET, "results"), ["s3://papers/inbox"]
    monkeypatch.setattr("tasks.batches.one_at_a_time._S3_SECONDS", 0.0)
    async with one_at_a_time(sources, output):
        with pytest.raises(AlreadyReadError):
            async with one_at_a_time(sources, output):
                raise AssertionError("two read at once")
    (lock,) = [each.path for each in objects.list_objects(output / ".one-at-a-time")]
    left = objects.get(lock)
    assert left is not None
    objects.put(lock, b'{"turn": "of one that was killed"}', over=left.etag)
    monkeypatch.setattr("tasks.batches.one_at_a_time._S3_SECONDS", 60.0)
    async with one_at_a_time(sources, output):
        pass


def test_lines_are_replaced_only_if_they_are_unchanged(s3: Any):
    files, added = files_at(S3Path(BUCKET, "results")), iter(["late\n", ""])
    files.append("lines", "old\nnew\n")

    def thinned(text: bytes) -> bytes:
        if late := next(added):
            files.append("lines", late)  # by another run, between the look and the writing
        return text.replace(b"old\n", b"")

    files.rewrite("lines", thinned)
    assert files.read("lines") == b"new\nlate\n"
