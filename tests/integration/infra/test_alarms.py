"""The dashboard and the alarms use metrics that exist, and explain what they mean."""

from __future__ import annotations

import json
import re

import boto3
import pytest

from tasks.metrics import names
from tests.integration.infra.monitored import ALARMS, OURS, RESOURCES, looked_at, resolved
from tests.support.commands import ROOT
from tests.support.infra.fixtures import Cloud

DASHBOARD = json.loads(resolved(RESOURCES["Dashboard"]["Properties"]["DashboardBody"]))


def dimensions(name: str) -> set[str]:
    """What a metric is told apart by."""
    metric = names.BY_NAME.get(name)
    return {"Pool", "Model", *filter(None, [metric.label.capitalize()])} if metric else {"Pool"}


class TestMetrics:
    def test_alarms_use_metrics_that_are_sent_with_these_dimensions(self):
        known = {metric.name for metric in (*names.OF_RUNS, *names.OF_MACHINES)}
        for name, alarm in OURS.items():
            for metric in looked_at(alarm):
                assert metric["Namespace"] == names.NAMESPACE
                assert metric["MetricName"] in known, name
                told = {each["Name"] for each in metric["Dimensions"]}
                assert told == dimensions(metric["MetricName"]), name

    def test_the_dashboard_shows_exactly_the_metrics_that_are_sent(self):
        text = json.dumps(DASHBOARD)
        known = {metric.name for metric in (*names.OF_RUNS, *names.OF_MACHINES)}
        listed = {
            row[1]
            for widget in DASHBOARD["widgets"]
            for row in widget["properties"].get("metrics", ())
            if len(row) > 1 and isinstance(row[1], str) and row[0] in {"Hearth", "."}
        }
        searched = set(re.findall(r'MetricName=\\"(\w+)\\"', text))
        assert listed | searched == known

    def test_the_dashboard_shows_the_queue_of_ecs_tasks_and_sagemakers_metrics_of_the_endpoint(self):
        rows = [row for w in DASHBOARD["widgets"] for row in w["properties"].get("metrics", ()) if len(row) > 2]
        ecs = {(row[1], *row[2:-1]) for row in rows if row[0] == "Hearth/ECS"}
        assert ecs == {("PagesWaitingPerSlot", "Pool", "night")}
        assert '"PagesWaitingPerSlot"' in (ROOT / "tasks/backends/ecs/service.py").read_text()
        theirs = {tuple(row[2:-1]) for row in rows if "sagemaker" in row[0].lower()}
        assert theirs == {("EndpointName", "hearth-night"), ("EndpointName", "hearth-night", "VariantName", "all")}
        endpoint = (ROOT / "infra_scripts/sagemaker/template.yaml").read_text()
        assert "VariantName: all" in endpoint
        assert 'EndpointName: !Sub "hearth-${Pool}"' in endpoint

    def test_searches_name_the_dimensions_of_their_metrics(self):
        for found, name in re.findall(r"\{Hearth,([\w,]+)\} MetricName=\\\"(\w+)", json.dumps(DASHBOARD)):
            assert set(found.split(",")) == dimensions(name)

    def test_the_dashboard_lists_every_alarm_of_the_stack(self):
        (shown,) = (w["properties"]["alarms"] for w in DASHBOARD["widgets"] if w["type"] == "alarm")
        assert {arn.removeprefix("arn:of:").removesuffix(".Arn") for arn in shown} == set(OURS)


def says(name: str, **minutes: float) -> bool:
    """SIMULATED: whether an alarm goes off when its metrics have had these values all along; what is not given is
    missing. A metric's statistic is the value, its sum that of one each minute."""
    alarm = ALARMS[name]
    found: dict[str, float] = {}
    for query in alarm.get("Metrics", ()):
        if "MetricStat" in query and query["MetricStat"]["Metric"]["MetricName"] in minutes:
            stat = query["MetricStat"]
            each = minutes[stat["Metric"]["MetricName"]]
            found[query["Id"]] = each * stat["Period"] / 60 if stat["Stat"] == "Sum" else each
    if "Metrics" in alarm:
        (expression,) = (query["Expression"] for query in alarm["Metrics"] if "Expression" in query)
        functions = {"IF": lambda test, yes, no: yes if test else no, "FILL": lambda value, other: value or other}
        if "FILL(leased" in expression:
            found.setdefault("leased", 0.0)
        try:
            value = eval(expression, {"__builtins__": {}}, {**functions, **found})
        except NameError:
            return alarm["TreatMissingData"] == "breaching"
    elif alarm["MetricName"] in minutes:
        value = minutes[alarm["MetricName"]]
    else:
        return alarm["TreatMissingData"] == "breaching"
    limit = float(alarm["Threshold"])
    return {
        "GreaterThanThreshold": value > limit,
        "GreaterThanOrEqualToThreshold": value >= limit,
        "LessThanThreshold": value < limit,
    }[alarm["ComparisonOperator"]]


class TestAlarms:
    @pytest.mark.parametrize(
        ("name", "values", "expected"),
        [
            ("SlowPages", {"PageSeconds": 9.0}, False),
            ("SlowPages", {"PageSeconds": 11.0}, True),
            ("FailedPages", {"Pages": 4}, False),
            ("FailedPages", {"Pages": 5}, True),
            ("IdleSlots", {"SlotUsePercent": 95.0}, False),
            ("IdleSlots", {"SlotUsePercent": 60.0}, True),
            ("IdleGpu", {"GpuUsePercent": 40.0, "Connections": 8}, True),
            ("IdleGpu", {"GpuUsePercent": 0.0, "Connections": 0}, False),
            ("IdleGpu", {"GpuUsePercent": 80.0, "Connections": 8}, False),
            ("BusyGpu", {"GpuUsePercent": 97.0, "Connections": 8}, True),
            ("BusyGpu", {"GpuUsePercent": 97.0, "Connections": 0}, False),
            ("BusyGpu", {"GpuUsePercent": 80.0, "Connections": 8}, False),
            ("UnusedMachine", {"MachinesUp": 1, "MachinesLeased": 0}, True),
            ("UnusedMachine", {"MachinesUp": 2, "MachinesLeased": 1}, True),
            ("UnusedMachine", {"MachinesUp": 2, "MachinesLeased": 2}, False),
            ("UnusedMachine", {"MachinesUp": 1}, True),  # nobody knows of a lease
            ("DailyCost", {"MachinesUp": 0.4}, False),  # 9.6 hours at USD 0.5
            ("DailyCost", {"MachinesUp": 1}, True),  # 24 hours: USD 12, over 6
        ],
    )
    def test_an_alarm_goes_off_exactly_when_it_should(self, name: str, values: dict[str, float], expected: bool):
        assert says(name, **values) is expected

    @pytest.mark.parametrize("name", OURS)
    def test_no_alarm_goes_off_when_nothing_runs(self, name: str):
        assert says(name) is False
        assert ALARMS[name]["TreatMissingData"] == "notBreaching"

    def test_missing_charges_keep_the_last_value(self):
        assert ALARMS["MonthlyCharges"]["TreatMissingData"] == "ignore"

    @pytest.mark.parametrize("name", ALARMS)
    def test_each_alarm_notifies_and_explains_itself(self, name: str):
        assert ALARMS[name]["AlarmActions"] == ["arn:of:Topic"]
        assert len(ALARMS[name]["AlarmDescription"]) > 40

    def test_cloudwatch_accepts_each_alarm(self, cloud: Cloud):
        client = boto3.client("cloudwatch")
        for alarm in ALARMS.values():
            client.put_metric_alarm(**{**alarm, "Threshold": float(alarm["Threshold"])})
        made = {alarm["AlarmName"] for alarm in client.describe_alarms()["MetricAlarms"]}
        assert made == {alarm["AlarmName"] for alarm in ALARMS.values()}
