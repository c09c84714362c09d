"""The trigger's stack: checked by cfn-lint and for what it must not contain, and created on moto."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import boto3
import pytest
from moto.events.models import EventPattern

from flows.stacks.registry import StackName, open_deployment
from infra_scripts.common.deployment import Options
from infra_scripts.common.errors import InUseError, RequestError
from infra_scripts.common.policy import PolicyName, policy
from infra_scripts.trigger import deploy
from infra_scripts.trigger.upload_trigger import TriggerStack, template
from tasks.settings.settings import Settings
from tasks.settings.trigger import TriggerSettings
from tests.support.infra.container_images import push_image
from tests.support.infra.fixtures import Cloud
from tests.support.infra.linted import decode, lint
from tests.support.infra.trigger_events import stopped

VALUES = {"bucket": "inbox", "image": "111122223333.dkr.ecr.us-east-1.amazonaws.com/hearth:1"}


@pytest.fixture(autouse=True)
def clean(clean_environment: None) -> None:
    """No setting of the machine reaches a test."""


def trigger(output: str = "s3://inbox/results", **changed: Any) -> Any:
    settings = Settings(output=output, trigger=TriggerSettings(**{**VALUES, **changed}))
    return open_deployment(StackName.LAMBDA, settings, Options(), "us-east-1")


def stack(output: str = "s3://inbox/results", **changed: Any) -> TriggerStack:
    return trigger(output, **changed).stack()


def values(output: str = "s3://inbox/results", **changed: Any) -> dict[str, str]:
    return stack(output, **changed).parameters(vpc="vpc-1", subnets=("subnet-1",))


@pytest.fixture(scope="module")
def parsed() -> dict[str, Any]:
    found, errors = decode(template())
    assert not errors
    return found


def statements(parsed: dict[str, Any]) -> list[dict[str, Any]]:
    roles = [each for each in parsed["Resources"].values() if each["Type"] == "AWS::IAM::Role"]
    found = [s for role in roles for p in role["Properties"]["Policies"] for s in p["PolicyDocument"]["Statement"]]
    return [each["Fn::If"][1] if "Fn::If" in each else each for each in found]


class TestTemplate:
    def test_cfn_lint_finds_nothing_wrong(self):
        assert not lint(template(), "us-east-1", "eu-central-1")

    def test_the_template_is_within_the_size_limit(self):
        assert len(template()) < 51_200

    def test_parameters_and_values_correspond(self, parsed):
        assert set(parsed["Parameters"]) == set(values())

    def test_no_action_is_allowed_on_all_resources(self, parsed):
        wide = [each["Action"] for each in statements(parsed) if each["Resource"] == "*"]
        assert wide == ["ecr:GetAuthorizationToken"]  # it takes no resource

    @pytest.mark.parametrize(("seconds", "code"), [("3600", 3), ("3", 124)], ids=["by itself", "out of time"])
    def test_a_task_has_a_time_limit_and_stops_its_machines_before(self, parsed, tmp_path, seconds, code):
        """STAND-IN: a `hearth` that records its arguments, and reads for ever if its time is less than an hour."""
        (container,) = parsed["Resources"]["Task"]["Properties"]["ContainerDefinitions"]
        entry = [seconds if each == {"Ref": "MaxSeconds"} else each for each in container["EntryPoint"]]
        stub = tmp_path / "hearth"
        stub.write_text(
            f'#!/bin/sh\necho "$@" >> asked\n[ "$1" = stop ] && exit 0\n'
            f"[ {seconds} = 3600 ] && exit 3\nexec sleep 3600\n"
        )
        stub.chmod(0o755)
        done = subprocess.run(
            [*entry, "batch", "s3://inbox/a b.pdf"],
            cwd=tmp_path,
            env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
            start_new_session=True,
            check=False,
        )
        assert done.returncode == code
        assert (tmp_path / "asked").read_text().splitlines() == ["batch s3://inbox/a b.pdf", "stop --all"]
        assert container["StopTimeout"] == 120

    def test_the_deployers_policy_allows_its_rules(self, parsed):
        document = policy(
            PolicyName.DEPLOYER, pool="p", account="111122223333", region="us-east-1", stack=StackName.LAMBDA
        )
        allowed = {each for statement in document["Statement"] for each in statement["Resource"]}
        rules = [each["Properties"]["Name"] for each in parsed["Resources"].values() if each["Type"].endswith("Rule")]
        assert len(rules) == 2
        for name in rules:
            assert f"arn:aws:events:us-east-1:111122223333:rule/{name['Fn::Sub'].replace('${Pool}', 'p')}" in allowed

    def test_the_limits_are_those_of_the_settings(self):
        given = values(max_minutes=60, max_usd=2)
        assert given["MaxSeconds"] == "5400"
        assert "--max-usd 2 --max-minutes 60 --must-finish" in given["Options"]

    def test_a_task_records_its_use_of_machines_with_its_results(self, parsed):
        (container,) = parsed["Resources"]["Task"]["Properties"]["ContainerDefinitions"]
        output = {each["Name"]: each["Value"] for each in container["Environment"]}["HEARTH_OUTPUT"]
        given = values("s3://inbox/results/")
        told = output["Fn::Sub"]
        for name in ("OutputBucket", "OutputPrefix"):
            told = told.replace(f"${{{name}}}", given[name])
        assert str(Settings(output=told).output) == told
        assert f"--output {told} " in given["Options"]

    @pytest.mark.parametrize(
        ("code", "detail", "kept"),
        [
            (0, {}, False),
            (1, {}, True),
            (3, {}, True),
            (124, {}, True),
            (None, {"stopCode": "TaskFailedToStart", "stoppedReason": "CannotPullContainerError"}, True),
            (None, {"stopCode": "SpotInterruption"}, True),
            (None, {}, True),
            (1, {"lastStatus": "DEPROVISIONING"}, False),
            (1, {"clusterArn": "arn:aws:ecs:us-east-1:111122223333:cluster/another"}, False),
        ],
    )
    def test_the_end_of_an_incomplete_task_is_a_dead_letter(self, parsed, code, detail, kept):
        """LEFT OUT: moto cannot match a pattern within a list, so the only container stands for its list."""
        rule, event = parsed["Resources"]["Stopped"]["Properties"], stopped(["batch"], code=code, **detail)
        (event["detail"]["containers"],) = event["detail"]["containers"]
        pattern = json.loads(json.dumps(rule["EventPattern"]))
        assert pattern["detail"]["clusterArn"] == [{"Fn::GetAtt": ["Cluster", "Arn"]}]
        pattern["detail"]["clusterArn"] = ["arn:aws:ecs:us-east-1:111122223333:cluster/hearth-default-lambda"]
        assert EventPattern.load(json.dumps(pattern)).matches_event(event) is kept
        (target,) = rule["Targets"]
        assert target["Arn"] == {"Fn::GetAtt": ["DeadLetters", "Arn"]}

    def test_a_message_that_fails_five_times_is_a_dead_letter_and_raises_an_alarm(self, parsed):
        made = parsed["Resources"]
        assert made["Queue"]["Properties"]["RedrivePolicy"]["maxReceiveCount"] == 5
        assert made["Mapping"]["Properties"]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        (dimension,) = made["DeadLettersAlarm"]["Properties"]["Dimensions"]
        assert dimension["Value"] == {"Fn::GetAtt": ["DeadLetters", "QueueName"]}
        # As AWS advises for queues that call functions.
        longest = made["Function"]["Properties"]["Timeout"] * 6 + 300
        assert made["Queue"]["Properties"]["VisibilityTimeout"] >= longest


class TestValues:
    @pytest.mark.parametrize(
        ("output", "changed", "told"),
        [
            ("s3://inbox/results", {"bucket": None}, "The trigger has no bucket"),
            ("s3://inbox/results", {"bucket": "No_Such"}, "'No_Such' is not a valid name of a bucket"),
            ("/data/results", {}, "HEARTH_OUTPUT"),
            ("s3://inbox", {}, "HEARTH_OUTPUT"),
            ("s3://inbox/results", {"image": None}, "HEARTH_TRIGGER__IMAGE"),
            ("s3://inbox/a", {"prefix": "a/b/"}, "inside the output"),
        ],
    )
    def test_invalid_settings_are_refused_before_anything_is_created(self, output, changed, told):
        with pytest.raises(RequestError, match=told):
            values(output, **changed)

    def test_with_prefect_no_image_is_needed(self):
        assert values(image=None, prefect_url="https://prefect.example/api")["PrefectApiUrl"].startswith("https")

    def test_the_plan_shows_the_maximum_cost_of_a_task(self):
        planned = trigger(max_usd=3, max_minutes=60).plan()
        ((_, hourly, most),) = planned.costs.rows
        assert hourly == "USD 0.099 an hour"
        assert most == "USD 3.15"


@pytest.fixture
def made(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """The stack on moto. LEFT OUT, as moto's CloudFormation cannot make it: the alarm."""
    before, _, after = template().partition("  DeadLettersAlarm:\n")
    monkeypatch.setattr(
        deploy, "template", lambda: before + "  FunctionLog:\n" + after.partition("  FunctionLog:\n")[2]
    )
    push_image(VALUES["image"])
    assert deploy.up(cloud.aws, stack(), cloud.listen, poll_seconds=0.01) == "created"
    return cloud


class TestOnMoto:
    def test_the_stack_is_created_shown_and_removed(self, made: Cloud):
        status = deploy.status(made.aws, stack())
        assert status.state == "CREATE_COMPLETE"
        assert dict(status.facts) == {"bucket": "inbox", "uploads waiting": "0", "dead letters": "0", "tasks": "0"}
        function = boto3.client("lambda").get_function_configuration(FunctionName="hearth-default-lambda")
        variables = function["Environment"]["Variables"]
        assert variables["HEARTH_OUTPUT"] == "s3://inbox/results"
        assert function["Handler"] == "index.handler"
        sqs = boto3.client("sqs")
        for name in ("hearth-default-lambda", "hearth-default-lambda-dead"):
            sqs.send_message(QueueUrl=sqs.get_queue_url(QueueName=name)["QueueUrl"], MessageBody="{}")
        assert dict(deploy.status(made.aws, stack()).facts)["dead letters"] == "1"
        assert deploy.down(made.aws, stack(), made.listen, force=False, poll_seconds=0.01) == 2
        assert deploy.status(made.aws, stack()).state is None

    def test_running_tasks_are_not_removed_without_force(self, made: Cloud, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(deploy, "running_tasks", lambda *_: ["arn:aws:ecs:us-east-1:1:task/c/t"])  # moto runs none
        with pytest.raises(InUseError, match="--force"):
            deploy.down(made.aws, stack(), made.listen, force=False)
        assert deploy.status(made.aws, stack()).state == "CREATE_COMPLETE"

    def test_a_bucket_that_sends_no_events_is_reported(self, cloud: Cloud):
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="inbox")
        assert deploy.sends_events(cloud.aws, "inbox") is False
        # That one sends them cannot be seen here: moto takes the setting and loses it.
        assert deploy.sends_events(cloud.aws, "nobodys") is None
