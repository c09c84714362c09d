"""A batch's documents, budget and report."""

from __future__ import annotations

import csv
import io
import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tasks.batches.batch import Batch
from tasks.core.budget import Budget
from tasks.results.report import Report
from tasks.results.rows import DocumentStatus, Row, shared_out

START = datetime(2026, 11, 24, 1, 30, tzinfo=UTC)


# Budgets


def test_without_bounds_nothing_is_ever_spent():
    assert Budget().exhausted(1e9) is None


def test_dollars_are_counted():
    assert Budget(usd=2).exhausted(1.99) is None
    assert "2 USD" in Budget(usd=2).exhausted(2.0)


def test_minutes_are_counted_from_the_start():
    assert Budget(minutes=10, started=time.monotonic() - 300).exhausted(0) is None
    assert "10 minutes" in Budget(minutes=10, started=time.monotonic() - 601).exhausted(0)


def test_after_the_time_to_finish_it_is_spent():
    now = datetime.now(UTC)
    assert Budget(finish_by=now + timedelta(minutes=1)).exhausted(0) is None
    assert Budget(finish_by=now - timedelta(seconds=1)).exhausted(0)


# The time to finish by


def test_it_is_the_next_such_time_in_its_zone():
    batch = Batch(finish_by="06:00", time_zone="Europe/Berlin")
    assert batch.ends_at(START) == datetime(2026, 11, 24, 5, 0, tzinfo=UTC)
    assert batch.ends_at(START + timedelta(hours=8)) == datetime(2026, 11, 25, 5, 0, tzinfo=UTC)


@given(st.times(), st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31)))  # noqa: DTZ001 - hypothesis wants it so
def test_it_is_always_within_a_day_and_an_hour(finish_by, start):
    """The day on which clocks go back has 25 hours."""
    start = start.replace(tzinfo=UTC)
    end = Batch(finish_by=finish_by, time_zone="Europe/Berlin").ends_at(start)
    assert timedelta(0) < end - start <= timedelta(hours=25)


def test_a_zone_that_does_not_exist_is_refused():
    with pytest.raises(ValidationError, match="no time zone 'Berlin'"):
        Batch(time_zone="Berlin")


# The report

ROWS = (
    Row(document="a.pdf", status=DocumentStatus.READ, pages=3, read_now=3, page_seconds=30),
    Row(document="b|c.pdf", status=DocumentStatus.PARTIAL, pages=2, read_now=2, failed=1, page_seconds=10, why="empty"),
    Row(document="d.pdf", status=DocumentStatus.UNCHANGED, pages=9),
)


def report(rows: tuple[Row, ...] = ROWS, usd: float = 0.2) -> Report:
    return Report(started_at=START, minutes=3, usd=usd, rows=rows)


def test_dollars_are_shared_out_by_page_seconds():
    assert [row.usd for row in shared_out(ROWS, 0.2)] == [0.15, 0.05, 0.0]


def test_without_page_seconds_nobody_is_charged():
    assert [row.usd for row in shared_out(ROWS[2:], 0.2)] == [0.0]


def test_dollars_a_thousand_pages():
    assert report().usd_per_thousand == 40.0
    assert report(rows=()).usd_per_thousand is None


def test_the_page_counts_what_is_unchanged_and_lists_the_rest():
    text = report().markdown()
    assert "3: 1 read, 1 partial, 1 unchanged" in text
    assert "| a.pdf | read | 3 | 3 | 0 |" in text
    assert "b\\|c.pdf" in text
    assert "d.pdf" not in text


def test_the_table_has_a_row_for_every_document():
    rows = list(csv.DictReader(io.StringIO(report().csv())))
    assert [row["document"] for row in rows] == ["a.pdf", "b|c.pdf", "d.pdf"]
    assert rows[1]["why"] == "empty"


def test_it_is_written_beside_the_results(tmp_path):
    path = report().write(tmp_path)
    assert path == tmp_path / "batches" / "20261124T013000.md"
    assert path.read_text() == report().markdown()
    assert path.with_suffix(".csv").read_text() == report().csv()


DOUBTED = (
    Row(document="sure.pdf", status=DocumentStatus.READ, pages=3, read_now=3, confidence=0.97),
    Row(document="vague.pdf", status=DocumentStatus.READ, pages=3, read_now=3, confidence=0.7, doubtful=1),
    Row(document="poor.pdf", status=DocumentStatus.READ, pages=3, read_now=3, confidence=0.4, doubtful=3),
    Row(document="untold.pdf", status=DocumentStatus.READ, pages=2, read_now=2, unsure=2),
)


def test_doubtful_documents_come_first_the_least_confident_before_all():
    text = report(DOUBTED).markdown()
    first, _, rest = text.partition("## All documents")
    assert first.index("| poor.pdf | 0.40 | 3 |") < first.index("| vague.pdf | 0.70 | 1 |")
    assert "sure.pdf" not in first
    assert "| doubtful pages | 4, in 2 documents |" in first
    assert "| sure.pdf | read | 3 | 3 | 0 | 0.97 |" in rest


def test_a_confidence_that_is_not_known_is_shown_as_unknown():
    text = report(DOUBTED).markdown()
    assert "| untold.pdf | read | 2 | 2 | 0 | unknown |" in text
    assert "| confidence unknown | 2 pages |" in text


def test_a_report_without_doubts_reads_as_before():
    assert "Doubtful" not in report().markdown()
    assert '"doubtful"' not in report().model_dump_json()
