"""Where numbers go: Prometheus's text."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tasks.metrics.live import LiveFile
from tasks.metrics.prometheus import Machine, Textfile, registry, text
from tasks.metrics.totals import TotalsSink
from tests.support.metrics.runs import live_run
from tests.unit.tasks.metrics.measured_pages import WHOSE, some_pages


def samples(told: str) -> dict[tuple[str, str], float]:
    found = {}
    for family in text_string_to_metric_families(told):
        for sample in family.samples:
            found[sample.name, sample.labels.get("le", sample.labels.get("status", ""))] = sample.value
    return found


def test_prometheus_reads_counters_histograms_and_what_runs_do_now(tmp_path: Path):
    TotalsSink(tmp_path, WHOSE).publish(some_pages().snapshot())
    LiveFile(tmp_path).write(live_run(pool=WHOSE[0], model=WHOSE[1], in_flight=3, slots=4))
    found = samples(text(registry(Machine(tmp_path))))
    assert found["hearth_pages_total", "read"] == 3
    assert found["hearth_pages_total", "failed"] == 0  # a first failure is then an increase
    assert found["hearth_page_seconds_bucket", "1.0"] == 1
    assert found["hearth_page_seconds_bucket", "2.0"] == 2
    assert found["hearth_page_seconds_bucket", "+Inf"] == found["hearth_page_seconds_count", ""] == 3
    assert found["hearth_page_seconds_sum", ""] == pytest.approx(6.0)
    assert (found["hearth_pages_in_flight", ""], found["hearth_slots", ""]) == (3, 4)
    assert found["hearth_slot_use_percent", ""] == 75


def test_slots_that_no_page_has_shown_are_counted_apart(tmp_path: Path):
    run = live_run(slots=8)
    server = run.servers[0].model_copy(update={"unproven": 5})
    LiveFile(tmp_path).write(run.model_copy(update={"servers": (server,)}))
    found = samples(text(registry(Machine(tmp_path))))
    assert (found["hearth_slots", ""], found["hearth_slots_unproven", ""]) == (8, 5)


def test_the_runs_of_a_pool_are_added_up(tmp_path: Path):
    for _ in range(2):
        LiveFile(tmp_path).write(live_run(in_flight=3, slots=4))
    found = samples(text(registry(Machine(tmp_path))))
    assert (found["hearth_pages_in_flight", ""], found["hearth_slots", ""]) == (6, 8)


def test_a_textfile_is_written_whole_and_readable_by_node_exporter(tmp_path: Path):
    path = tmp_path / "hearth.prom"
    sink = TotalsSink(tmp_path, WHOSE)
    for each in (sink, Textfile(path, tmp_path)):
        each.publish(some_pages().snapshot())
    assert samples(path.read_text())["hearth_pages_total", "read"] == 3
    assert path.stat().st_mode & 0o777 == 0o644
    assert not list(tmp_path.glob("*.new"))
