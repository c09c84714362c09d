"""Every IAM policy that Hearth writes, judged by parliament: those of people, and those in the templates."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from flows.stacks.registry import StackName
from infra_scripts.common.policy import policy, policy_names
from infra_scripts.ec2 import template as ec2
from infra_scripts.ecs import service as ecs
from infra_scripts.monitoring import dashboard as monitoring
from infra_scripts.sagemaker import endpoint as sagemaker
from infra_scripts.trigger import upload_trigger as trigger
from tests.support.infra.endpoints import endpoint
from tests.support.infra.judges import parliament_findings
from tests.support.infra.linted import decode
from tests.support.infra.pools import pool
from tests.support.infra.services import service
from tests.support.tools import PARLIAMENT, needs

pytestmark = needs(PARLIAMENT)

REGION, ACCOUNT = "eu-central-1", "123456789012"
ARNS = {
    "AWS::DynamoDB::Table": "dynamodb:{region}:{account}:table/{name}",
    "AWS::ECR::Repository": "ecr:{region}:{account}:repository/{name}",
    "AWS::ECS::Cluster": "ecs:{region}:{account}:cluster/{name}",
    "AWS::ECS::TaskDefinition": "ecs:{region}:{account}:task-definition/{name}:1",
    "AWS::Events::Rule": "events:{region}:{account}:rule/{name}",
    "AWS::IAM::Role": "iam::{account}:role/{name}",
    "AWS::Lambda::Function": "lambda:{region}:{account}:function:{name}",
    "AWS::Logs::LogGroup": "logs:{region}:{account}:log-group:{name}:*",
    "AWS::S3::Bucket": "s3:::{name}",
    "AWS::SNS::Topic": "sns:{region}:{account}:{name}",
    "AWS::SQS::Queue": "sqs:{region}:{account}:{name}",
}
PSEUDO = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::URLSuffix": "amazonaws.com",
}
NOTHING = object()


class Template:
    """A template whose policies are filled in as CloudFormation would do it."""

    def __init__(self, text: str) -> None:
        parsed, errors = decode(text)
        assert not errors
        self._resources: dict[str, Any] = parsed["Resources"]

    def policies(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the name and the document of each policy."""
        for name, resource in self._resources.items():
            for number, found in enumerate(_documents(resource["Properties"])):
                document = self._filled(found)
                for statement in document["Statement"]:
                    # Who may assume a role stands in that role, and names no resource.
                    statement.setdefault("Resource", f"arn:aws:iam::{ACCOUNT}:role/{name}")
                yield f"{name}-{number}", document

    def _filled(self, value: Any) -> Any:
        if isinstance(value, list):
            return [found for entry in value if (found := self._filled(entry)) is not NOTHING]
        if not isinstance(value, dict):
            return value
        match list(value.items()):
            case [("Ref", "AWS::NoValue")]:
                found = NOTHING
            case [("Ref", name)]:
                found = self._reference(name)
            case [("Fn::GetAtt", [name, "Arn"])]:
                found = self._arn(name)
            case [("Fn::Sub", text)]:
                found = re.sub(r"\$\{([^}!]+)\}", lambda found: self._reference(found[1]), text).replace("${!", "${")
            case [("Fn::If", [_, yes, no])]:
                found = self._filled(no if yes == {"Ref": "AWS::NoValue"} else yes)
            case entries:
                found = {key: entry for key, raw in entries if (entry := self._filled(raw)) is not NOTHING}
        return found

    def _reference(self, name: str) -> str:
        if name.endswith(".Arn"):
            return self._arn(name.removesuffix(".Arn"))
        if name in self._resources and self._resources[name]["Type"] != "AWS::S3::Bucket":
            return self._arn(name)
        return PSEUDO.get(name) or PARAMETERS.get(name, name.lower())

    def _arn(self, name: str) -> str:
        pattern = ARNS[self._resources[name]["Type"]]
        return "arn:aws:" + pattern.format(region=REGION, account=ACCOUNT, name=name)


# What a parameter of a template stands for, where its name alone would not do.
PARAMETERS = {
    "PrefectSecret": f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:prefect-AbCdEf",
    "Repository": f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/hearth",
}


def _documents(value: Any) -> Iterator[dict[str, Any]]:
    """Yield each policy document within a resource's properties."""
    if isinstance(value, list):
        for entry in value:
            yield from _documents(entry)
    elif isinstance(value, dict):
        for key, entry in value.items():
            if key in {"PolicyDocument", "AssumeRolePolicyDocument"}:
                yield entry
            else:
                yield from _documents(entry)


TEMPLATES = {
    "ec2": ec2.template(pool()),
    "ecs": ecs.template(service()),
    "lambda": trigger.template(),
    "monitoring": monitoring.template(),
    "sagemaker": sagemaker.template(endpoint(model_data="s3://weights/store/")),
}
NAMES = [
    *(f"{stack}-{who}" for stack in StackName for who in policy_names(stack)),
    *(f"{stack}-template" for stack in TEMPLATES),
]

_LOOKS = "It only looks, and CloudFormation may ask for all alarms at once."
_ECS = "ECS's guide says that it takes no resource; the reference of actions names one, which * includes."
_CLUSTER = "Held to the cluster by a condition; a task's own name is not known before it runs."
_POLICY = (
    "The deployer writes the policy of the stack's own bucket. The template, which refuses plain HTTP, is that policy."
)
_ANY = "The resource is arn:...:*/*, which has these, too. Parliament compares the words."
_STREAM = {
    "RESOURCE_MISMATCH dynamodb:GetResourcePolicy arn:*:dynamodb:*:*:table/*/stream/*": "The table has no stream.",
}
_NEWER = {
    "UNKNOWN_ACTION Unknown action cloudformation:DescribeEvents": (
        "CloudFormation's API has it since the end of 2025; parliament's list of actions is older."
    ),
}
DELIBERATE: dict[str, dict[str, str]] = {
    **{f"{stack}-doctor": _NEWER for stack in StackName},
    "ec2-caller": {
        "RESOURCE_MISMATCH ssmmessages:OpenDataChannel *": (
            "Session Manager's guide holds it to the caller's own sessions; the reference of actions names no resource."
        ),
    },
    "ec2-deployer": _STREAM,
    "ec2-template-Role-1": {
        "UNKNOWN_CONDITION_FOR_ACTION Unknown condition ec2:SourceInstanceARN for action ec2:CreateTags": (
            "EC2 sets this key on every request with a machine's credentials."
        ),
    },
    "ecs-deployer": {
        **_STREAM,
        **{
            f"RESOURCE_MISMATCH ec2:RunInstances arn:*:ec2:*:*:{kind}/*": _ANY
            for kind in ("instance", "network-interface", "security-group", "subnet")
        },
        "RESOURCE_MISMATCH ssm:GetParameter arn:*:ssm:*:*:parameter/*": "AWS's public parameters have no account.",
        "RESOURCE_STAR cloudwatch:DescribeAlarms": _LOOKS,
        "RESOURCE_STAR ecs:CreateCluster": _ECS,
        "RESOURCE_STAR ecs:DescribeCapacityProviders": "It only looks.",
        "RESOURCE_STAR ecs:RegisterTaskDefinition": _ECS,
    },
    "lambda-caller": {"RESOURCE_STAR ecs:ListTasks": _CLUSTER},
    "lambda-deployer": {
        **_STREAM,
        "RESOURCE_STAR cloudwatch:DescribeAlarms": _LOOKS,
        "RESOURCE_STAR ecs:DescribeTasks": _CLUSTER,
        "RESOURCE_STAR ecs:ListTasks": _CLUSTER,
        "RESOURCE_STAR ecs:RegisterTaskDefinition": _ECS,
        "RESOURCE_STAR ecs:StopTask": _CLUSTER,
    },
    "sagemaker-deployer": {
        **_STREAM,
        "RESOURCE_STAR cloudwatch:DescribeAlarms": _LOOKS,
        **{
            "RESOURCE_POLICY_PRIVILEGE_ESCALATION Possible resource policy privilege escalation on "
            f"arn:aws:s3:::hearth-sagemaker-default-bucket-* due to s3:{action} not being allowed, "
            "but does allow s3:PutBucketPolicy": _POLICY
            for action in ("GetObject", "PutObject")
        },
    },
}


@pytest.fixture(scope="module")
def policies() -> dict[str, dict[str, Any]]:
    """The policy documents, each under one of NAMES; a template's have a name and a number of their own after it."""
    people = {
        f"{stack}-{who}": policy(who, pool="default", account=ACCOUNT, region=REGION, stack=stack)
        for stack in StackName
        for who in policy_names(stack)
    }
    templates = {
        f"{stack}-template-{name}": document
        for stack, text in TEMPLATES.items()
        for name, document in Template(text).policies()
    }
    return {**people, **templates}


@pytest.fixture(scope="module")
def findings(policies: dict[str, dict[str, Any]]) -> dict[str, set[str]]:
    return parliament_findings(policies)


@pytest.mark.parametrize("name", NAMES)
def test_parliament_finds_nothing_that_is_not_deliberate(findings: dict[str, set[str]], name: str):
    judged = {each: found for each, found in findings.items() if each == name or each.startswith(f"{name}-")}
    assert judged
    unexpected = {each: found - set(DELIBERATE.get(each, ())) for each, found in judged.items()}
    assert not any(unexpected.values()), unexpected


def test_what_is_deliberate_is_still_found(findings: dict[str, set[str]]):
    for name, deliberate in DELIBERATE.items():
        assert set(deliberate) <= findings[name], name


def test_every_policy_document_is_judged(findings: dict[str, set[str]]):
    written = sum(text.count("PolicyDocument:") for text in TEMPLATES.values())
    assert sum("-template-" in name for name in findings) == written
    people = sum(len(policy_names(stack)) for stack in StackName)
    assert len(findings) == written + people
