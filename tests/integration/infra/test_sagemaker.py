"""The SageMaker stack: judged by cfn-lint, and brought up and down on moto's server."""

from __future__ import annotations

import json
import time
from typing import Any

import boto3
import pytest
from cfnlint.api import ManualArgs, lint
from pydantic import ValidationError
from typer.testing import CliRunner

from flows.cli.infra import infra
from flows.stacks.registry import StackName, open_deployment
from infra_scripts.common.cloudformation import Change, Stack
from infra_scripts.common.deployment import Options
from infra_scripts.common.errors import InUseError, LeftoverError, RequestError
from infra_scripts.common.policy import Who, policy
from infra_scripts.sagemaker import deploy
from infra_scripts.sagemaker.endpoint import SagemakerStack, parameters, plan, template
from tasks.settings.settings import load_settings
from tests.integration.infra.test_policies import allows
from tests.support.infra.container_images import push_image
from tests.support.infra.endpoints import IMAGE, endpoint, for_moto, parsed
from tests.support.infra.fixtures import Cloud

POLL = 0.02
ASYNC = endpoint(model_data="s3://weights/store/")
MODELS = ("qwen2.5vl:7b", "gemma3:12b")
REALTIME = endpoint(serving="realtime", models=MODELS, max_copies=3, model_data="s3://weights/store/")


@pytest.fixture(params=[ASYNC, REALTIME], ids=lambda stack: stack.serving)
def stack(request: pytest.FixtureRequest) -> SagemakerStack:
    return request.param


@pytest.fixture
def on_moto(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    monkeypatch.setattr(deploy, "template", for_moto)
    push_image(IMAGE)
    return cloud


def resources(stack: SagemakerStack) -> dict[str, Any]:
    found: dict[str, Any] = parsed(stack)["Resources"]
    return found


def of_type(stack: SagemakerStack, kind: str) -> list[dict[str, Any]]:
    return [one["Properties"] for one in resources(stack).values() if one["Type"] == kind and _made(one, stack)]


def _made(one: dict[str, Any], stack: SagemakerStack) -> bool:
    return one.get("Condition") not in {"Async", "RealTime"} or one["Condition"].lower() == stack.serving


class TestTemplate:
    def test_cfn_lint_finds_nothing_wrong(self):
        # It has all that an asynchronous endpoint's has, and more.
        assert not lint(template(REALTIME), config=ManualArgs(regions=["us-east-1", "eu-central-1"]))

    def test_it_is_small_enough_to_be_sent_with_four_models(self):
        assert len(template(endpoint(serving="realtime", models=("a:1", "b:1", "c:1", "d:1")))) < 51_200

    def test_every_parameter_has_a_value_and_every_value_a_parameter(self, stack: SagemakerStack):
        assert set(parsed(stack)["Parameters"]) == set(parameters(stack))

    def test_whatever_may_scale_to_none_is_led_out_of_it_by_an_alarm(self, stack: SagemakerStack):
        targets = of_type(stack, "AWS::ApplicationAutoScaling::ScalableTarget")
        alarms = of_type(stack, "AWS::CloudWatch::Alarm")
        steps = {
            name: one["Properties"]["ScalingTargetId"]["Ref"]
            for name, one in resources(stack).items()
            if one["Type"].endswith("ScalingPolicy") and one["Properties"]["PolicyType"] == "StepScaling"
        }
        led = {steps[alarm["AlarmActions"][0]["Ref"]] for alarm in alarms if alarm["AlarmActions"][0]["Ref"] in steps}
        assert len(targets) == len(alarms) == len(stack.models)
        assert all(target["MinCapacity"] == {"Ref": "MinCopies"} for target in targets)
        names = [name for name, one in resources(stack).items() if one["Type"].endswith("ScalableTarget")]
        assert led == {name for name in names if stack.serving == "async" or name != "Target"}
        assert {alarm["MetricName"] for alarm in alarms} == {
            "HasBacklogWithoutCapacity" if stack.serving == "async" else "NoCapacityInvocationFailures"
        }

    def test_each_model_of_a_real_time_endpoint_has_a_component_that_runs_are_told_of(self):
        told = json.loads(parameters(REALTIME)["Models"])
        made = of_type(REALTIME, "AWS::SageMaker::InferenceComponent")
        names = [one["InferenceComponentName"]["Fn::Sub"].replace("${Pool}", "default") for one in made]
        assert told == dict(zip(REALTIME.models, names, strict=True))
        environments = [
            one["PrimaryContainer"]["Environment"]["HEARTH_MODEL"] for one in of_type(REALTIME, "AWS::SageMaker::Model")
        ]
        assert environments == list(REALTIME.models)

    def test_a_container_gives_up_before_sagemaker_does_where_that_waits_for_eight_minutes(self):
        assert int(parameters(REALTIME)["AnswerSeconds"]) < 480 < int(parameters(ASYNC)["AnswerSeconds"])

    def test_a_cpu_is_asked_for_no_accelerator(self):
        assert parameters(endpoint(instance_type="ml.c5.2xlarge"))["Gpu"] == "false"
        assert parameters(endpoint(instance_type="ml.g5.xlarge"))["Gpu"] == "true"

    def test_requests_and_answers_are_forgotten_after_a_day_and_never_public(self):
        (bucket,) = of_type(ASYNC, "AWS::S3::Bucket")
        assert [rule["ExpirationInDays"] for rule in bucket["LifecycleConfiguration"]["Rules"]] == [1]
        assert all(bucket["PublicAccessBlockConfiguration"].values())

    def test_the_role_reaches_no_other_bucket_and_no_other_repository(self):
        assert parameters(ASYNC)["Repository"] == "arn:aws:ecr:us-east-1:123456789012:repository/hearth"
        (role,) = of_type(ASYNC, "AWS::IAM::Role")
        policies = [one["Fn::If"][1] if "Fn::If" in one else one for one in role["Policies"]]
        assert [one["PolicyName"] for one in policies] == ["endpoint", "model-data", "queue"]
        statements = [statement for one in policies for statement in one["PolicyDocument"]["Statement"]]
        everywhere = {statement["Action"] for statement in statements if statement["Resource"] == "*"}
        assert everywhere == {"ecr:GetAuthorizationToken", "cloudwatch:PutMetricData"}


class TestValues:
    @pytest.mark.parametrize(
        "changed",
        [
            {"pool": "Default"},
            {"image": "ollama/ollama:0.33.0"},
            {"image": IMAGE + "\n"},
            {"models": ("x$(reboot)",)},
            {"models": ("a:1", "a:1"), "serving": "realtime"},
            {"models": ("a:1", "b:1")},
            {"model_data": "s3://bucket"},
            {"instance_type": "g4dn.xlarge"},
            {"min_copies": 2},
            {"serving": "serverless"},
        ],
        ids=str,
    )
    def test_what_would_not_work_is_refused(self, changed: dict[str, object]):
        with pytest.raises((RequestError, ValidationError)):
            endpoint(**changed)

    @pytest.mark.parametrize(
        ("region", "arn"),
        [("cn-north-1", "arn:aws-cn:"), ("us-gov-west-1", "arn:aws-us-gov:"), ("eu-west-1", "arn:aws:")],
    )
    def test_the_partition_is_the_regions(self, region: str, arn: str):
        assert endpoint(region=region).repository.startswith(arn)


class TestPlan:
    def test_instances_that_are_kept_are_told_with_what_they_cost_a_month(self):
        _, notes = plan(endpoint(min_copies=1), 0.7364)
        assert "1 of them run all day, asked or not: USD 17.67 a day, 538 a month." in notes

    def test_an_endpoint_that_scales_to_none_says_so_and_that_the_first_one_starts_at_once(self):
        _, notes = plan(endpoint(), 0.7364)
        assert "starts with the endpoint" in notes[0]
        assert "AWS scales it in to none" in notes[1]


class TestOnMoto:
    def test_the_outputs_tell_runs_all_they_need(self, on_moto: Cloud, stack: SagemakerStack):
        assert deploy.up(on_moto.aws, stack, on_moto.listen, poll_seconds=POLL) is Change.CREATED
        found = on_moto.aws.cloudformation.describe_stacks(StackName=stack.name)["Stacks"][0]["Outputs"]
        outputs = {one["OutputKey"]: one["OutputValue"] for one in found}
        expected = {"EndpointName", "Serving", "Models", "TableName", "InstanceType", "Slots", "MinCopies"}
        assert set(outputs) == expected | ({"BucketName"} if stack.serving == "async" else set())
        assert json.loads(outputs["Models"]) == stack.components

    def test_the_same_again_changes_nothing(self, on_moto: Cloud):
        deploy.up(on_moto.aws, ASYNC, on_moto.listen, poll_seconds=POLL)
        assert deploy.up(on_moto.aws, ASYNC, on_moto.listen, poll_seconds=POLL) is Change.UNCHANGED

    def test_an_endpoint_of_the_other_kind_is_to_be_taken_down_first(self, on_moto: Cloud):
        deploy.up(on_moto.aws, ASYNC, on_moto.listen, poll_seconds=POLL)
        with pytest.raises(RequestError, match="is async, and SageMaker cannot make it realtime"):
            deploy.up(on_moto.aws, REALTIME, on_moto.listen, poll_seconds=POLL)

    def test_down_leaves_nothing_not_even_a_bucket_that_a_dead_run_left_full(self, on_moto: Cloud):
        deploy.up(on_moto.aws, ASYNC, on_moto.listen, poll_seconds=POLL)
        s3 = on_moto.aws.session.client("s3", config=on_moto.aws.config)
        (bucket,) = (one["Name"] for one in s3.list_buckets()["Buckets"])
        s3.put_object(Bucket=bucket, Key="requests/left.json", Body=b"{}")
        deploy.down(on_moto.aws, "default", on_moto.listen, poll_seconds=POLL)
        assert s3.list_buckets()["Buckets"] == []
        assert on_moto.aws.session.client("sagemaker", config=on_moto.aws.config).list_endpoints()["Endpoints"] == []
        deploy.down(on_moto.aws, "default", on_moto.listen, poll_seconds=POLL)  # once more is no error

    def test_an_endpoint_in_use_is_not_taken_down_without_force(self, on_moto: Cloud):
        deploy.up(on_moto.aws, ASYNC, on_moto.listen, poll_seconds=POLL)
        dynamodb = on_moto.aws.session.client("dynamodb", config=on_moto.aws.config)

        def claim(name: str, ends_at: float) -> None:
            ledger = json.dumps({"claims": {name: {"wants": 1, "ends_at": ends_at, "came_at": 0}}})
            item = {"id": {"S": f"slots#{name}"}, "ledger": {"S": ledger}}
            dynamodb.put_item(TableName="hearth-sagemaker-default", Item=item)

        claim("ended", time.time() - 1)
        claim("live", time.time() + 100)
        with pytest.raises(InUseError, match="1 run holds slots of the endpoint hearth-default"):
            deploy.down(on_moto.aws, "default", on_moto.listen, poll_seconds=POLL)
        deploy.down(on_moto.aws, "default", on_moto.listen, force=True, poll_seconds=POLL)

    def test_an_endpoint_that_is_left_is_named_with_what_it_does(self, on_moto: Cloud, monkeypatch: pytest.MonkeyPatch):
        deploy.up(on_moto.aws, ASYNC, on_moto.listen, poll_seconds=POLL)
        found = {"EndpointStatus": "InService"}
        monkeypatch.setattr(deploy, "_endpoint", lambda *_: found)  # SCRIPTED: moto deletes at once
        with pytest.raises(LeftoverError, match=r"InService.*cost money") as error:
            deploy.down(on_moto.aws, "default", on_moto.listen, poll_seconds=POLL)
        assert error.value.left == ("endpoint hearth-default (InService), whose instances cost money",)

    def test_the_deployer_may_do_what_the_code_was_seen_to_do(self, on_moto: Cloud):
        actions = {"s3:ListObjectsV2": "s3:ListBucket", "s3:HeadBucket": "s3:ListBucket"}
        actions["s3:DeleteObjects"] = "s3:DeleteObject"
        asked = set()

        def record(model: Any, **_: object) -> None:
            asked.add(f"{model.service_model.service_name}:{model.name}")

        on_moto.aws.session.events.register("before-call", record)
        try:
            deploy.up(on_moto.aws, ASYNC, on_moto.listen, poll_seconds=POLL)
            bucket = Stack(on_moto.aws, ASYNC.name, on_moto.listen).outputs()["BucketName"]
            s3 = boto3.client("s3")
            s3.put_object(Bucket=bucket, Key="requests/left.json", Body=b"{}")
            deploy.status(on_moto.aws, "default")
            deploy.down(on_moto.aws, "default", on_moto.listen, poll_seconds=POLL)
        finally:
            on_moto.aws.session.events.unregister("before-call", record)
        asked |= {f"{service}:{name}" for service, name in on_moto.calls}
        document = policy(Who.DEPLOYER, pool="default", account="123456789012", region="us-east-1", stack="sagemaker")
        assert asked >= {"s3:DeleteObjects", "dynamodb:Scan", "sagemaker:DescribeEndpoint"}
        assert {call for call in asked if not allows(document, actions.get(call, call))} == set()


class TestCommands:
    def test_up_tells_what_it_costs_and_asks_and_status_and_down_follow(
        self, on_moto: Cloud, monkeypatch: pytest.MonkeyPatch
    ):
        def run(*arguments: str, answer: str = "") -> Any:
            return CliRunner().invoke(infra, list(arguments), input=answer)

        monkeypatch.setattr("infra_scripts.common.clients.connect", lambda _: on_moto.aws)
        monkeypatch.setenv("HEARTH_SAGEMAKER_STACK__IMAGE", IMAGE)
        monkeypatch.setenv("HEARTH_SAGEMAKER_STACK__MIN_COPIES", "1")
        refused = run("up", "sagemaker", answer="n\n")
        assert refused.exit_code == 1
        assert "USD 17.67 a day" in refused.output
        assert "hearth-sagemaker-default in us-east-1: not deployed" in run("status", "sagemaker").output
        assert run("up", "sagemaker", answer="y\n").exit_code == 0
        told = json.loads(run("status", "sagemaker", "--json").output)["sagemaker"]
        assert (told["state"], told["instances"]) == ("CREATE_COMPLETE", "1 x ml.g4dn.xlarge at USD 0.74 an hour")
        done = run("down", "sagemaker", "--yes")
        assert done.exit_code == 0, done.output
        assert "is gone" in done.output

    def test_without_an_image_up_says_where_the_commands_are(self):
        deployment = open_deployment(StackName.SAGEMAKER, load_settings(), Options(), "us-east-1")
        with pytest.raises(RequestError, match=r"docs/sagemaker\.md"):
            deployment.plan()
