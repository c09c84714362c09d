"""The dashboard and the alarms: checked by cfn-lint, and created and removed on moto."""

from __future__ import annotations

import json
import re
from typing import Any

import boto3
import pytest
from typer.testing import CliRunner, Result

from flows.cli.infra import infra
from infra_scripts.common.errors import RequestError
from infra_scripts.monitoring.dashboard import ALARM_METRICS, MonitoringStack, plan, template
from tests.integration.infra.monitored import ALARMS, OURS, RESOURCES, looked_at, resolved
from tests.support.infra.fixtures import Cloud
from tests.support.infra.linted import decode, lint


def watched(**changed: Any) -> MonitoringStack:
    values = {
        "pool": "night", "region": "us-east-1", "model": "m", "email": "", "page_seconds": 10.0, "usd_per_hour": 0.5,
        "daily_usd": 6.0, "monthly_usd": None, **changed,
    }  # fmt: skip
    return MonitoringStack(**values)


class TestTemplate:
    def test_cfn_lint_finds_nothing_wrong(self):
        assert not lint(template(), "us-east-1", "eu-central-1")

    def test_without_an_address_nobody_is_subscribed(self):
        assert RESOURCES["Subscription"]["Condition"] == "Written"
        assert resolved(RESOURCES["Subscription"]["Properties"])["TopicArn"] == "arn:of:Topic"

    def test_parameters_and_values_correspond(self):
        parsed, _ = decode(template())
        assert set(parsed["Parameters"]) == set(watched().parameters())

    def test_the_template_is_within_the_size_limit(self):
        assert len(template()) < 51_200

    def test_charges_are_watched_only_in_the_region_that_has_them(self):
        assert RESOURCES["MonthlyCharges"]["Condition"] == "Billed"
        parsed, _ = decode(template())
        assert "us-east-1" in str(parsed["Conditions"]["Billed"])

    @pytest.mark.parametrize("wrong", [{"pool": "Night"}, {"email": "nobody"}, {"email": "a@b c"}], ids=str)
    def test_invalid_settings_are_refused(self, wrong: dict[str, str]):
        with pytest.raises(RequestError):
            watched(**wrong)

    def test_the_plan_counts_the_metrics_of_the_alarms(self):
        assert sum(len(list(looked_at(alarm))) for alarm in OURS.values()) == ALARM_METRICS
        assert f"{len(OURS)} alarms on " in str(plan(watched()).rows)


@pytest.fixture
def no_alarms(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """FILLED: moto's CloudFormation does not make alarms; they and what names them are left out of what it gets."""

    def strip(params: dict[str, Any], **_: object) -> None:
        body = decode(params["TemplateBody"])[0]
        kept = {name: each for name, each in body["Resources"].items() if name not in ALARMS}
        dashboard = kept["Dashboard"]["Properties"]["DashboardBody"]
        dashboard["Fn::Sub"] = re.sub(r"\$\{\w+\.Arn\}", "an alarm", dashboard["Fn::Sub"])
        params["TemplateBody"] = json.dumps({**body, "Resources": kept})

    for operation in ("CreateStack", "UpdateStack"):
        cloud.on("provide-client-params", operation, strip)
    monkeypatch.setattr("infra_scripts.common.clients.connect", lambda _: cloud.aws)
    monkeypatch.setattr("flows.stacks.monitoring.POLL_SECONDS", 0.02)
    return cloud


def run(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(infra, list(arguments), env=environment)


class TestStack:
    def test_the_stack_is_created_shown_and_removed(self, no_alarms: Cloud):
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

    def test_the_plan_is_shown_without_calling_aws(self):
        done = run(
            "up", "monitoring", "--dry-run", HEARTH_EC2__REGION="eu-central-1", HEARTH_MONITORING__MONTHLY_USD="9"
        )
        assert done.exit_code == 0, done.output
        assert "USD 3.00 a month" in done.output
        assert "no alarm" in done.output  # the charges, as the region is another
