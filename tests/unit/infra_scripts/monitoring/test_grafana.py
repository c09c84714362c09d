"""The Grafana dashboard asks for numbers that there are."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tasks.metrics.aggregate import Aggregate
from tasks.metrics.live import LiveFile
from tasks.metrics.names import GPU_CELSIUS, GPU_MEMORY, GPU_USE, OF_RUNS, Kind
from tasks.metrics.prometheus import Gpus, Machine, registry, text
from tasks.metrics.totals import TotalsSink
from tests.support.commands import ROOT
from tests.support.metrics.runs import live_run

DASHBOARD = json.loads((ROOT / "infra_scripts/monitoring/grafana.json").read_text())
EXPRESSIONS = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Every sample that is exported when everything has been counted once, and its labels. GPUs are SCRIPTED."""
    home = tmp_path_factory.mktemp("home")
    aggregate = Aggregate()
    for metric in OF_RUNS:
        label = metric.words[0] if metric.words else ""
        if metric.kind is Kind.COUNTER:
            aggregate.add(metric, label=label)
        else:
            aggregate.add(metric, 1.0, label)
    TotalsSink(home, ("p", "m")).publish(aggregate.snapshot())
    LiveFile(home).write(live_run())
    gpus = Gpus(lambda: [{"use": 80.0, "memory": 60.0, "celsius": 55.0}])
    told = text(registry(Machine(home), gpus))
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(told):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def test_every_metric_that_it_asks_for_is_exported(exported: dict[str, set[str]]):
    asked = {name for expression in EXPRESSIONS for name in re.findall(r"hearth_\w+", expression)}
    assert asked <= set(exported)


def test_it_asks_by_labels_that_these_metrics_have(exported: dict[str, set[str]]):
    for expression in EXPRESSIONS:
        for name, matchers in re.findall(r"(hearth_\w+)\{([^}]*)\}", expression):
            assert set(re.findall(r"(\w+)=", matchers)) <= exported[name], expression
        for by in re.findall(r"by \((\w+)\)", expression):
            assert any(by in exported[name] for name in re.findall(r"hearth_\w+", expression)), expression


def test_it_shows_every_metric_of_the_code():
    asked = " ".join(EXPRESSIONS)
    for metric in (*OF_RUNS, GPU_USE, GPU_MEMORY, GPU_CELSIUS):
        assert metric.prometheus in asked, metric.name


def test_panels_stand_beside_each_other_and_are_told_apart():
    cells: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at: dict[str, Any] = panel["gridPos"]
        mine = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & mine, panel["title"]
        assert at["x"] + at["w"] <= 24
        cells |= mine
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
