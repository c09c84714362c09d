"""The dashboard and the alarms: judged by cfn-lint, against the metrics that there are, and on moto.

moto makes neither alarms nor subscriptions in CloudFormation, and evaluates no alarm: the stack is brought up there
without its alarms (FILLED), each alarm is put by itself, and what it would say is reckoned here from its own properties
(SIMULATED).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from cfnlint import decode
from cfnlint.api import ManualArgs, lint
from typer.testing import CliRunner, Result

from flows.cli.infra import infra
from infra_scripts.common.errors import RequestError
from infra_scripts.monitoring.dashboard import ALARM_METRICS, MonitoringStack, plan, template
from tasks.metrics import names
from tests.support.commands import ROOT
from tests.support.infra.fixtures import Cloud

WORDS = {
    "Pool": "night", "Model": "qwen2.5vl:7b", "Email": "", "PageSeconds": "10", "UsdPerHour": "0.5", "DailyUsd": "6",
    "MonthlyUsd": "100", "AWS::Region": "us-east-1", "AWS::AccountId": "123456789012",
}  # fmt: skip


def watched(**changed: Any) -> MonitoringStack:
    values = {
        "pool": "night", "region": "us-east-1", "model": "m", "email": "", "page_seconds": 10.0, "usd_per_hour": 0.5,
        "daily_usd": 6.0, "monthly_usd": None, **changed,
    }  # fmt: skip
    return MonitoringStack(**values)


def resolved(value: Any) -> Any:
    """SIMULATED: what CloudFormation makes of Ref and Sub."""
    if isinstance(value, dict) and set(value) == {"Ref"}:
        return WORDS.get(value["Ref"], f"arn:of:{value['Ref']}")
    if isinstance(value, dict) and set(value) == {"Fn::Sub"}:
        filled = re.sub(r"\$\{([^!}]+)\}", lambda found: WORDS.get(found[1], f"arn:of:{found[1]}"), value["Fn::Sub"])
        return filled.replace("${!", "${")
    if isinstance(value, dict):
        return {key: resolved(each) for key, each in value.items()}
    return [resolved(each) for each in value] if isinstance(value, list) else value


RESOURCES: dict[str, Any] = decode.decode_str(template())[0]["Resources"]
ALARMS = {
    name: resolved(each["Properties"]) for name, each in RESOURCES.items() if each["Type"].endswith("CloudWatch::Alarm")
}
OURS = {name: alarm for name, alarm in ALARMS.items() if name != "MonthlyCharges"}
DASHBOARD = json.loads(resolved(RESOURCES["Dashboard"]["Properties"]["DashboardBody"]))


def looked_at(alarm: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The metrics of an alarm, each as CloudWatch's Metric."""
    if "MetricName" in alarm:
        yield alarm
    for query in alarm.get("Metrics", ()):
        if "MetricStat" in query:
            yield query["MetricStat"]["Metric"]


def dimensions(name: str) -> set[str]:
    """What a metric is told apart by."""
    metric = names.BY_NAME.get(name)
    return {"Pool", "Model", *filter(None, [metric.label.capitalize()])} if metric else {"Pool"}


class TestTemplate:
    def test_cfn_lint_finds_nothing_wrong(self):
        assert not lint(template(), config=ManualArgs(regions=["us-east-1", "eu-central-1"]))

    def test_nobody_is_subscribed_where_nobody_is_named(self):
        assert RESOURCES["Subscription"]["Condition"] == "Written"
        assert resolved(RESOURCES["Subscription"]["Properties"])["TopicArn"] == "arn:of:Topic"

    def test_every_parameter_has_a_value_and_every_value_a_parameter(self):
        parsed, _ = decode.decode_str(template())
        assert set(parsed["Parameters"]) == set(watched().parameters())

    def test_it_is_small_enough_to_be_sent(self):
        assert len(template()) < 51_200

    def test_the_charges_are_watched_only_where_aws_tells_them(self):
        assert RESOURCES["MonthlyCharges"]["Condition"] == "Billed"
        parsed, _ = decode.decode_str(template())
        assert "us-east-1" in str(parsed["Conditions"]["Billed"])

    @pytest.mark.parametrize("wrong", [{"pool": "Night"}, {"email": "nobody"}, {"email": "a@b c"}], ids=str)
    def test_what_would_not_work_is_refused(self, wrong: dict[str, str]):
        with pytest.raises(RequestError):
            watched(**wrong)

    def test_the_plan_counts_what_alarms_look_at(self):
        assert sum(len(list(looked_at(alarm))) for alarm in OURS.values()) == ALARM_METRICS
        assert f"{len(OURS)}, " in str(plan(watched()).rows)


class TestMetrics:
    def test_alarms_look_at_metrics_that_are_sent_with_the_dimensions_that_they_have(self):
        known = {metric.name for metric in (*names.OF_RUNS, *names.OF_MACHINES)}
        for name, alarm in OURS.items():
            for metric in looked_at(alarm):
                assert metric["Namespace"] == names.NAMESPACE
                assert metric["MetricName"] in known, name
                told = {each["Name"] for each in metric["Dimensions"]}
                assert told == dimensions(metric["MetricName"]), name

    def test_the_dashboard_shows_every_metric_that_is_sent_and_none_that_is_not(self):
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

    def test_it_shows_what_waits_for_ecs_tasks_and_sagemaker_s_own_of_the_pool_s_endpoint(self):
        rows = [row for w in DASHBOARD["widgets"] for row in w["properties"].get("metrics", ()) if len(row) > 2]
        ecs = {(row[1], *row[2:-1]) for row in rows if row[0] == "Hearth/ECS"}
        assert ecs == {("PagesWaitingPerSlot", "Pool", "night")}
        assert '"PagesWaitingPerSlot"' in (ROOT / "tasks/backends/ecs/service.py").read_text()
        theirs = {tuple(row[2:-1]) for row in rows if "sagemaker" in row[0].lower()}
        assert theirs == {("EndpointName", "hearth-night"), ("EndpointName", "hearth-night", "VariantName", "all")}
        endpoint = (ROOT / "infra_scripts/sagemaker/template.yaml").read_text()
        assert "VariantName: all" in endpoint
        assert 'EndpointName: !Sub "hearth-${Pool}"' in endpoint

    def test_searches_name_the_dimensions_that_their_metrics_have(self):
        for found, name in re.findall(r"\{Hearth,([\w,]+)\} MetricName=\\\"(\w+)", json.dumps(DASHBOARD)):
            assert set(found.split(",")) == dimensions(name)

    def test_the_dashboard_lists_every_alarm_of_ours(self):
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
    def test_it_goes_off_when_it_should_and_only_then(self, name: str, values: dict[str, float], expected: bool):
        assert says(name, **values) is expected

    @pytest.mark.parametrize("name", OURS)
    def test_none_goes_off_when_nothing_runs(self, name: str):
        assert says(name) is False
        assert ALARMS[name]["TreatMissingData"] == "notBreaching"

    def test_the_charges_stay_as_they_were_told_last(self):
        assert ALARMS["MonthlyCharges"]["TreatMissingData"] == "ignore"

    @pytest.mark.parametrize("name", ALARMS)
    def test_each_tells_somebody_and_what_it_means(self, name: str):
        assert ALARMS[name]["AlarmActions"] == ["arn:of:Topic"]
        assert len(ALARMS[name]["AlarmDescription"]) > 40

    def test_cloudwatch_takes_each_as_it_is(self, cloud: Cloud):
        client = boto3.client("cloudwatch")
        for alarm in ALARMS.values():
            client.put_metric_alarm(**{**alarm, "Threshold": float(alarm["Threshold"])})
        made = {alarm["AlarmName"] for alarm in client.describe_alarms()["MetricAlarms"]}
        assert made == {alarm["AlarmName"] for alarm in ALARMS.values()}


@pytest.fixture
def no_alarms(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """FILLED: moto's CloudFormation does not make alarms; they and what names them are left out of what it gets."""

    def strip(params: dict[str, Any], **_: object) -> None:
        body = decode.decode_str(params["TemplateBody"])[0]
        kept = {name: each for name, each in body["Resources"].items() if name not in ALARMS}
        dashboard = kept["Dashboard"]["Properties"]["DashboardBody"]
        dashboard["Fn::Sub"] = re.sub(r"\$\{\w+\.Arn\}", "an alarm", dashboard["Fn::Sub"])
        params["TemplateBody"] = json.dumps({**body, "Resources": kept})

    for operation in ("CreateStack", "UpdateStack"):
        cloud.on("provide-client-params", operation, strip)
    monkeypatch.setattr("infra_scripts.common.clients.connect", lambda _: cloud.aws)
    monkeypatch.setattr("flows.stacks.monitoring._POLL_SECONDS", 0.02)
    return cloud


def run(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(infra, list(arguments), env=environment)


class TestStack:
    def test_it_is_brought_up_looked_at_and_taken_down(self, no_alarms: Cloud):
        up = run("up", "monitoring", "--yes", HEARTH_MONITORING__EMAIL="a@example.com")
        assert up.exit_code == 0, up.output
        assert "a@example.com: confirm it" in up.output
        body = boto3.client("cloudwatch").get_dashboard(DashboardName="hearth-default-us-east-1")["DashboardBody"]
        assert json.loads(body)["widgets"][0]["properties"]["title"] == "Latency of a page, s"
        assert boto3.client("sns").list_topics()["Topics"][0]["TopicArn"].endswith(":hearth-default-alarms")
        assert "CREATE_COMPLETE. dashboard: https://us-east-1.console" in run("status", "monitoring").output
        down = run("down", "monitoring", "--yes")
        assert down.exit_code == 0, down.output
        assert "not deployed" in run("status", "monitoring").output
        assert not boto3.client("sns").list_topics()["Topics"]

    def test_the_plan_is_shown_without_asking_aws(self):
        done = run(
            "up", "monitoring", "--dry-run", HEARTH_EC2__REGION="eu-central-1", HEARTH_MONITORING__MONTHLY_USD="9"
        )
        assert done.exit_code == 0, done.output
        assert "USD 3.00 a month" in done.output
        assert "not watched" in done.output  # the charges, as the region is another
