"""The SageMaker stack's template and values, checked by cfn-lint."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from infra_scripts.common.errors import RequestError
from infra_scripts.sagemaker.endpoint import SagemakerStack, parameters, plan, template
from tests.integration.infra.sagemaker_stacks import ASYNC, EITHER, REALTIME
from tests.support.infra.endpoints import IMAGE, endpoint, parsed
from tests.support.infra.linted import lint


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
        assert not lint(template(REALTIME), "us-east-1", "eu-central-1")

    def test_the_template_is_within_the_size_limit_with_four_models(self):
        assert len(template(endpoint(serving="realtime", models=("a:1", "b:1", "c:1", "d:1")))) < 51_200

    @EITHER
    def test_parameters_and_values_correspond(self, stack: SagemakerStack):
        assert set(parsed(stack)["Parameters"]) == set(parameters(stack))

    @EITHER
    def test_an_endpoint_that_may_scale_to_zero_has_an_alarm_that_starts_it(self, stack: SagemakerStack):
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

    def test_each_model_of_a_real_time_endpoint_has_a_component_in_the_outputs(self):
        told = json.loads(parameters(REALTIME)["Models"])
        made = of_type(REALTIME, "AWS::SageMaker::InferenceComponent")
        names = [one["InferenceComponentName"]["Fn::Sub"].replace("${Pool}", "default") for one in made]
        assert told == dict(zip(REALTIME.models, names, strict=True))
        environments = [
            one["PrimaryContainer"]["Environment"]["HEARTH_MODEL"] for one in of_type(REALTIME, "AWS::SageMaker::Model")
        ]
        assert environments == list(REALTIME.models)

    def test_the_containers_time_limit_is_shorter_than_sagemakers(self):
        assert int(parameters(REALTIME)["AnswerSeconds"]) < 480 < int(parameters(ASYNC)["AnswerSeconds"])

    def test_a_cpu_instance_requests_no_accelerator(self):
        assert parameters(endpoint(instance_type="ml.c5.2xlarge"))["Gpu"] == "false"
        assert parameters(endpoint(instance_type="ml.g5.xlarge"))["Gpu"] == "true"

    def test_requests_and_answers_expire_after_a_day_and_are_never_public(self):
        (bucket,) = of_type(ASYNC, "AWS::S3::Bucket")
        assert [rule["ExpirationInDays"] for rule in bucket["LifecycleConfiguration"]["Rules"]] == [1]
        assert all(bucket["PublicAccessBlockConfiguration"].values())

    def test_the_role_may_use_no_other_bucket_or_repository(self):
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
    def test_invalid_settings_are_refused(self, changed: dict[str, object]):
        with pytest.raises((RequestError, ValidationError)):
            endpoint(**changed)

    @pytest.mark.parametrize(
        ("region", "arn"),
        [("cn-north-1", "arn:aws-cn:"), ("us-gov-west-1", "arn:aws-us-gov:"), ("eu-west-1", "arn:aws:")],
    )
    def test_the_partition_is_that_of_the_region(self, region: str, arn: str):
        assert endpoint(region=region).repository.startswith(arn)


class TestPlan:
    def test_kept_instances_are_shown_with_their_monthly_cost(self):
        _, notes = plan(endpoint(min_copies=1), 0.7364)
        assert "1 of them run all day, used or not: USD 17.67 a day, 538 a month." in notes

    def test_an_endpoint_that_scales_to_zero_is_described(self):
        _, notes = plan(endpoint(), 0.7364)
        assert "starts with the endpoint" in notes[0]
        assert "AWS scales it to zero" in notes[1]
