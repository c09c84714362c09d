"""The dashboard's and the alarms' template, with the values that CloudFormation puts in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from infra_scripts.iam.rendered import parse
from infra_scripts.monitoring.dashboard import template

WORDS = {
    "Pool": "night", "Model": "qwen2.5vl:7b", "Email": "", "PageSeconds": "10", "UsdPerHour": "0.5", "DailyUsd": "6",
    "MonthlyUsd": "100", "AWS::Region": "us-east-1", "AWS::AccountId": "123456789012",
}  # fmt: skip


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


RESOURCES: dict[str, Any] = parse(template())["Resources"]
ALARMS = {
    name: resolved(each["Properties"]) for name, each in RESOURCES.items() if each["Type"].endswith("CloudWatch::Alarm")
}
OURS = {name: alarm for name, alarm in ALARMS.items() if name != "MonthlyCharges"}


def looked_at(alarm: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The metrics of an alarm, each as CloudWatch's Metric."""
    if "MetricName" in alarm:
        yield alarm
    for query in alarm.get("Metrics", ()):
        if "MetricStat" in query:
            yield query["MetricStat"]["Metric"]
