"""What is counted of a run, and that it takes little memory."""

from __future__ import annotations

import threading
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.errors import FailureReason
from tasks.core.events import PagesStarted, StepDone, WarmStep
from tasks.metrics import names
from tasks.metrics.aggregate import Aggregate, Snapshot, rounded
from tasks.metrics.listener import PageMetrics
from tasks.reading.events import PageDone
from tasks.results.page import PageStatus
from tasks.results.usage import Spread
from tests.support.clock import Clock
from tests.support.metrics.results import result

MEASURED = st.floats(0, 1e6, allow_nan=False)


def counted(*events: object) -> Snapshot:
    aggregate = Aggregate()
    heard = PageMetrics(aggregate)
    for event in events:
        heard(event)
    return aggregate.snapshot()


def test_each_page_is_counted_by_how_it_ended():
    ends = [PageStatus.READ, PageStatus.READ, PageStatus.BLANK]
    found = counted(*(PageDone(result(status)) for status in ends))
    assert found.counts["Pages", "read"] == 2
    assert found.counts["Pages", "blank"] == 1


def test_a_page_that_was_read_at_last_tells_why_it_was_tried_again():
    slow, empty = FailureReason.SLOW, FailureReason.EMPTY
    found = counted(PageDone(result(PageStatus.READ, empty, None, slow)))
    assert {label: n for (name, label), n in found.counts.items() if name == "Retries"} == {"empty": 1, "slow": 1}
    assert ("Failures", "empty") not in found.counts


def test_the_last_try_at_a_page_that_failed_is_a_failure_and_no_retry():
    cut = FailureReason.TRUNCATED
    found = counted(PageDone(result(PageStatus.FAILED, cut, cut, cut)))
    assert found.counts["Retries", "truncated"] == 2
    assert found.counts["Failures", "truncated"] == 1


def test_latency_and_queue_time_are_kept_as_values():
    found = counted(PageDone(result(PageStatus.READ, None, seconds=2.0)))
    assert found.values["PageSeconds", ""] == {2.0: 1}
    assert found.values["QueueSeconds", ""] == {0.5: 1}


def test_a_blank_page_has_no_latency_as_no_model_was_asked():
    assert not counted(PageDone(result(PageStatus.BLANK))).values


def test_warm_up_steps_are_told_apart():
    found = counted(StepDone(WarmStep.LOAD, 12.0), StepDone(WarmStep.PULL, 90.0))
    assert found.values["WarmSeconds", "load"] == {12.0: 1}
    assert found.values["WarmSeconds", "pull"] == {90.0: 1}


def test_the_last_pages_tell_median_and_95th_percentile():
    heard = PageMetrics(Aggregate())
    assert heard.latency() is None
    heard(PageDone(result(PageStatus.READ, None, seconds=3.0)))
    assert heard.latency() == Spread(median=3.0, p95=3.0)
    for seconds in range(1, 101):  # the first one is forgotten
        heard(PageDone(result(PageStatus.READ, None, seconds=float(seconds))))
    assert heard.latency() == Spread(median=50.5, p95=95.05)


def test_the_time_to_the_first_token_is_counted_where_it_is_known():
    aggregate = Aggregate()
    heard = PageMetrics(aggregate)
    for first in (None, 0.5, 1.5):
        heard(PageDone(result(PageStatus.READ, None, first_seconds=first)))
    assert aggregate.snapshot().values["FirstTokenSeconds", ""] == {0.5: 1, 1.5: 1}
    assert heard.first_token() == Spread(median=1.0, p95=1.45)


def test_rates_are_of_the_time_since_pages_began(monkeypatch: pytest.MonkeyPatch):
    clock = Clock()
    monkeypatch.setattr("tasks.metrics.listener.time", clock)
    heard = PageMetrics(Aggregate())
    heard(PagesStarted(10, 4, 2))
    heard(PageDone(result()))
    pages_a_minute, tokens_a_second = heard.rates()
    assert (pages_a_minute, tokens_a_second) == (60.0, 20.0)  # a second counts in full
    clock.advance(10)
    assert heard.rates() == (6.0, 2.0)
    assert (heard.asked, heard.done) == (6, 1)


@given(st.lists(MEASURED, max_size=200))
def test_values_are_kept_to_half_a_percent(values: list[float]):
    assert all(abs(rounded(value) - value) <= 0.005 * value for value in values if value > 1e-300)


def test_memory_does_not_grow_with_the_pages():
    aggregate = Aggregate()
    for number in range(100_000):
        aggregate.add(names.PAGE_SECONDS, 0.1 + number % 99_991 / 1000)
    assert len(aggregate.snapshot().values["PageSeconds", ""]) <= 900 * 3 + 1


SERIES = st.sampled_from([("Pages", "read"), ("Pages", "failed"), ("TokensIn", "")])
VALUES = st.sampled_from([0.5, 1.0, 2.0])


@given(st.lists(st.tuples(SERIES, VALUES)), st.lists(st.tuples(SERIES, VALUES)))
def test_what_came_since_and_what_was_before_make_the_whole(before: list, after: list):
    aggregate = Aggregate()
    for (name, label), value in before:
        aggregate.add(names.BY_NAME[name], value, label)
        aggregate.add(names.QUEUE_SECONDS, value)
    first = aggregate.snapshot()
    for (name, label), value in after:
        aggregate.add(names.BY_NAME[name], value, label)
        aggregate.add(names.QUEUE_SECONDS, value)
    whole = aggregate.snapshot()
    again = first.plus(whole.since(first))
    assert again.counts == pytest.approx(whole.counts)
    assert {series: Counter(seen) for series, seen in again.values.items()} == whole.values
    assert not whole.since(whole).counts


def test_no_count_is_lost_between_threads():
    aggregate = Aggregate()

    def add() -> None:
        for _ in range(2000):
            aggregate.add(names.TOKENS_OUT)
            aggregate.add(names.PAGE_SECONDS, 1.0)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert aggregate.snapshot().counts["TokensOut", ""] == 8000
    assert aggregate.snapshot().values["PageSeconds", ""] == {1.0: 8000}
