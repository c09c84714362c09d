"""The IAM policies: well formed, narrow, and sufficient for the calls of the code."""

import fnmatch
import json
import re
from typing import Any

import botocore.session
import pytest

from flows.stacks.registry import StackName
from infra_scripts.common.errors import RequestError
from infra_scripts.common.policy import PolicyName, policy, policy_names
from infra_scripts.ec2.deploy import down, up
from tests.integration.infra.test_bake import baked
from tests.support.infra.fixtures import Cloud
from tests.support.infra.pools import pool

# What runs ask of AWS: launching, leasing, stopping, sweeping.
RUNS = [
    "cloudformation:DescribeStacks",
    "ssm:GetParameter",
    "ec2:DescribeInstances",
    "ec2:CreateFleet",
    "ec2:RunInstances",
    "ec2:CreateTags",
    "ec2:StartInstances",
    "ec2:StopInstances",
    "ec2:TerminateInstances",
    "ec2:ModifyInstanceAttribute",
    "ec2:GetConsoleOutput",
    "ec2:DescribeSpotPriceHistory",
    "ec2:DescribeSpotInstanceRequests",
    "ec2:DescribeVolumes",
    "ec2:DeleteVolume",
    "ec2:DescribeSubnets",
    "iam:PassRole",
    "iam:CreateServiceLinkedRole",
    "dynamodb:GetItem",
    "dynamodb:PutItem",
    "dynamodb:UpdateItem",
    "dynamodb:DeleteItem",
    "logs:GetLogEvents",
    "ssm:StartSession",
    "ssm:TerminateSession",
]
# Actions that no API has an operation for.
ACTIONS_ALONE = {
    *("iam:PassRole", "cloudformation:*", "cloudformation:TagResource", "ssmmessages:OpenDataChannel"),
    # Operations of several services, by a name that is theirs alone here.
    *("s3:Get*Configuration", "s3:GetBucket*", "s3:ListTagsForResource", "s3:TagResource", "s3:UntagResource"),
    # Operations of sagemaker-runtime, whose actions are SageMaker's.
    *("sagemaker:InvokeEndpoint", "sagemaker:InvokeEndpointAsync", "sagemaker:InvokeEndpointWithResponseStream"),
    # S3's operations are called otherwise.
    *(
        "s3:ListBucket",
        "s3:PutBucketPublicAccessBlock",
        "s3:PutEncryptionConfiguration",
        "s3:PutLifecycleConfiguration",
    ),
}
# What IAM calls otherwise than boto3 does.
SERVICES = {"elasticloadbalancing": "elbv2", "servicequotas": "service-quotas"}
# What IAM knows no resource for, though it is no look.
RESOURCELESS = {
    "cloudwatch:PutMetricData",
    "ecs:CreateCapacityProvider",
    "ecs:CreateCluster",
    "ecs:DeregisterTaskDefinition",
    "ecs:RegisterTaskDefinition",
    "servicequotas:ListServiceQuotas",
    "sns:SetSubscriptionAttributes",
    "sns:Unsubscribe",
}
UNCHECKED = {"GetCallerIdentity"}  # anybody may


@pytest.fixture(params=[(stack, who) for stack in StackName for who in policy_names(stack)], ids="-".join)
def filled(request: pytest.FixtureRequest) -> dict[str, Any]:
    stack, who = request.param
    return policy(who, pool="default", account="123456789012", region="eu-central-1", stack=stack)


def actions(document: dict[str, Any]) -> list[str]:
    return [action for statement in document["Statement"] for action in statement["Action"]]


def allows(document: dict[str, Any], action: str) -> bool:
    return any(fnmatch.fnmatchcase(action, pattern) for pattern in actions(document))


class TestForm:
    def test_every_action_exists(self, filled: dict[str, Any]):
        session = botocore.session.get_session()
        for action in actions(filled):
            service, name = action.split(":")
            if action not in ACTIONS_ALONE:
                operations = session.get_service_model(SERVICES.get(service, service)).operation_names
                assert fnmatch.filter(operations, name), action

    def test_it_fits_into_a_managed_policy(self, filled: dict[str, Any]):
        assert len(json.dumps(filled, separators=(",", ":"))) <= 6144

    def test_every_placeholder_is_filled(self, filled: dict[str, Any]):
        assert "{{" not in json.dumps(filled)

    def test_statements_have_different_ids(self, filled: dict[str, Any]):
        names = [statement["Sid"] for statement in filled["Statement"]]
        assert len(names) == len(set(names))
        assert all(name.isalnum() for name in names)

    def test_only_read_actions_and_those_without_a_resource_are_allowed_everywhere(self, filled: dict[str, Any]):
        for statement in filled["Statement"]:
            if statement["Resource"] == "*":
                doing = {action for action in statement["Action"] if not re.match(r"\w+(-\w+)?:(Describe|Get)", action)}
                assert doing <= RESOURCELESS
                held = statement["Condition"]["StringEquals"]
                if "cloudwatch:PutMetricData" in doing:
                    assert held["cloudwatch:namespace"] in {"Hearth", "Hearth/ECS"}
                else:
                    assert held == {"aws:RequestedRegion": "eu-central-1"}

    def test_actions_that_change_machines_are_limited_to_the_pools_tag(self, filled: dict[str, Any]):
        guarded = {"ec2:StopInstances", "ec2:TerminateInstances", "ec2:ModifyInstanceAttribute", "ec2:DeleteVolume"}
        for statement in filled["Statement"]:
            if guarded & set(statement["Action"]):
                ((key, value),) = statement["Condition"]["StringEquals"].items()
                assert key in {"aws:ResourceTag/hearth:pool", "aws:ResourceTag/hearth:bake"}
                assert value == "default"

    @pytest.mark.parametrize("wrong", [{"pool": "A"}, {"account": "12"}, {"region": "x"}, {"pool": "a*"}], ids=str)
    def test_invalid_pools_accounts_and_regions_are_refused(self, wrong: dict[str, str]):
        with pytest.raises(RequestError):
            policy(
                PolicyName.CALLER, **{"pool": "default", "account": "123456789012", "region": "eu-central-1", **wrong}
            )

    def test_the_partition_is_that_of_the_region(self):
        text = json.dumps(policy(PolicyName.CALLER, pool="default", account="123456789012", region="cn-north-1"))
        assert "arn:aws-cn:" in text
        assert "arn:aws:" not in text


class TestEnough:
    @pytest.mark.parametrize("action", RUNS)
    def test_the_callers_policy_allows_the_calls_of_runs(self, action: str):
        assert allows(policy(PolicyName.CALLER, pool="default", account="123456789012", region="us-east-1"), action)

    def test_the_callers_policy_does_not_allow_deployments(self):
        document = policy(PolicyName.CALLER, pool="default", account="123456789012", region="us-east-1")
        for action in ("cloudformation:CreateStack", "iam:CreateRole", "ssm:PutParameter", "ec2:CreateLaunchTemplate"):
            assert not allows(document, action)

    def test_the_deployers_policy_allows_every_call(self, cloud: Cloud):
        given = {"pool": "default", "account": "123456789012", "region": "us-east-1"}
        documents = [policy(who, **given) for who in (PolicyName.DEPLOYER, PolicyName.BAKER)]
        up(cloud.aws, pool(access="token"), cloud.listen, poll_seconds=0.02)
        baked(cloud)
        down(cloud.aws, "default", cloud.listen, with_images=True, poll_seconds=0.02)
        asked = {f"{service}:{name}" for service, name in cloud.calls if name not in UNCHECKED}
        assert {"ec2:RunInstances", "ssm:PutParameter", "ec2:DeregisterImage"} <= asked
        assert not [action for action in sorted(asked) if not any(allows(document, action) for document in documents)]
