"""How a batch's documents are shared out among runs, and what each of the runs is given."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from flows.engine.batch_reader import weigh
from flows.engine.shard_runs import merge_reports
from tasks.batches.batch import Batch, Source
from tasks.batches.shards import Shard, Weighed, balanced, weighed
from tasks.core.options import TextLayer
from tasks.results.report import Report
from tasks.results.rows import DocumentStatus, Row
from tasks.settings.reading import LimitSettings
from tasks.storage.files import S3Path
from tests.support import layers
from tests.support.pdfs import written

START = datetime(2026, 11, 24, 1, 30, tzinfo=UTC)


def documents(pages: list[int]) -> list[Weighed]:
    return [Weighed(Source(Path(f"/inbox/{number}.pdf"), ""), count) for number, count in enumerate(pages)]


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=60), st.integers(1, 64), st.integers(1, 2000))
def test_every_document_is_in_one_shard_and_no_shard_is_far_above_its_part(pages, most, least):
    asked = documents(pages)
    shards = balanced(asked, most, least)
    assert sorted((each for shard in shards for each in shard.documents), key=asked.index) == asked
    assert all(shard.documents for shard in shards)
    assert len(shards) <= min(most, max(1, sum(pages) // least))
    assert shards[0].pages <= sum(pages) / len(shards) + max(pages)


def test_the_longest_documents_go_to_different_runs():
    shards = balanced(documents([10, 900, 20, 800, 30]), 2, 1)
    assert [[each.pages for each in shard.documents] for shard in shards] == [[900], [10, 20, 800, 30]] or [
        shard.pages for shard in shards
    ] == [900, 860]


def test_few_pages_are_not_shared():
    assert len(balanced(documents([90, 90]), 8, 100)) == 1


def test_a_document_weighs_its_pages_and_one_in_s3_its_bytes(tmp_path: Path):
    assert weighed(Source.of(written(tmp_path / "two.pdf", "One.", "Two."))).pages == 2
    (tmp_path / "no.pdf").write_text("no PDF")
    assert weighed(Source.of(tmp_path / "no.pdf")).pages == 1
    assert weighed(Source(S3Path("papers", "a.pdf"), "e", 5_000_000)).pages == 100


def test_a_document_weighs_only_the_pages_that_a_model_has_to_read(tmp_path: Path):
    source = Source.of(layers.prose(tmp_path / "sound.pdf"))
    scan = Source.of(layers.scanned(tmp_path / "scan.pdf"))
    auto = Batch(sources=(str(tmp_path),), text_layer=TextLayer.AUTO)
    assert [weigh(each, auto, LimitSettings()).pages for each in (source, scan)] == [0, 1]
    assert weigh(source, Batch(sources=(str(tmp_path),)), LimitSettings()).pages == 1


def test_documents_without_pages_for_a_model_are_shared_out_all_the_same():
    assert [len(shard.documents) for shard in balanced(documents([0, 0, 400, 400]), 2, 100)] == [2, 2]


def test_a_part_is_told_by_name_and_keeps_what_is_secret_and_local_out(tmp_path: Path):
    part = Shard(name="20261124T013000-1", documents=("/inbox/new\nline.pdf", "s3://papers/b.pdf"), max_usd=0.5)
    part.write(tmp_path)
    assert Shard.named(part.name, tmp_path) == part
    batch = Batch(sources=("/inbox",), workers=4, max_usd=2, max_minutes=60, finish_by="06:00", slots=3)
    assert part.batch(batch, tmp_path) == Batch(output=str(tmp_path), slots=3, part=part.name)
    block = Batch(sources=("/inbox",), workers=4, output_block="s3-bucket/papers")
    assert part.batch(block, tmp_path) == Batch(output_block="s3-bucket/papers", part=part.name)


def test_the_deadline_is_the_first_of_the_bounds():
    assert Batch().deadline(START) is None
    assert Batch(max_minutes=30, finish_by="06:00").deadline(START) == START + timedelta(minutes=30)
    assert Batch(max_minutes=600, finish_by="06:00").deadline(START) == START.replace(hour=6, minute=0)


def test_the_reports_of_parts_are_one_report():
    def report(*rows: Row, usd: float = 0.0, stopped: str = "") -> Report:
        return Report(started_at=START, minutes=1, usd=usd, rows=rows, stopped=stopped)

    read = Row(document="b.pdf", status=DocumentStatus.READ, pages=2, read_now=2, usd=0.1)
    left = Row(document="c.pdf", status=DocumentStatus.LEFT, why="its run is Crashed")
    known = Row(document="a.pdf", status=DocumentStatus.UNCHANGED)
    whole = merge_reports([report(read, usd=0.1), report(left, usd=0.2, stopped="a part did not end")], [known], START)
    assert whole.rows == (known, read, left)
    assert (whole.usd, whole.stopped) == (0.3, "a part did not end")


def test_what_took_long_is_told_of_the_part_that_took_longest():
    def report(minutes: float, insight: str) -> Report:
        return Report(started_at=START, minutes=minutes, usd=0, rows=(), insight=insight)

    whole = merge_reports([report(3, "It took 3 min."), report(7, "It took 7 min."), report(9, "")], [], START)
    assert whole.insight == "Of its 3 parts, the one that took longest: It took 7 min."
    assert merge_reports([], [], START).insight == merge_reports([report(1, "")], [], START).insight == ""
