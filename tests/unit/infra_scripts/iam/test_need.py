"""Need is within policy: what CloudFormation asks for each resource of each stack, its deployer is allowed."""

from __future__ import annotations

import dataclasses
import json
from functools import cache
from typing import Any

import pytest

from infra_scripts.common.deployment import StackRequest
from infra_scripts.common.policy import PolicyName, policy
from infra_scripts.iam.need import ONLY_WITH, Permission, facts, required_permissions
from infra_scripts.iam.rendered import parse
from tests.support import iam_facts
from tests.support.iam.evaluation import allows, denied
from tests.support.infra.deployments import ACCOUNT, FORMS, LONGEST_POOL, deployment, place, resources
from tests.support.infra.linted import schema
from tests.support.tools import IAM_DATA, needs

# ECS's guide says that these take no resource; the reference of actions names one, which * includes.
MADE_WITHOUT_A_NAME = {"ecs:CreateCapacityProvider", "ecs:CreateCluster", "ecs:RegisterTaskDefinition"}
REGIONS = ("us-east-1", "cn-north-1", "us-gov-west-1")


def deployer(form: str, pool: str = "default", region: str = "us-east-1") -> dict[str, Any]:
    return policy(PolicyName.DEPLOYER, pool=pool, account=ACCOUNT, region=region, stack=FORMS[form][0])


@cache
def needed(form: str, pool: str = "default", region: str = "us-east-1") -> tuple[Permission, ...]:
    made = deployment(form, pool=pool, region=region)
    return required_permissions(made.request(), place(made, region))


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("form", FORMS)
def test_the_deployer_may_do_all_that_a_stack_needs(form: str, region: str):
    assert denied([deployer(form, region=region)], needed(form, region=region)) == []


@pytest.mark.parametrize("form", FORMS)
def test_it_may_with_the_longest_name_of_a_pool(form: str):
    assert denied([deployer(form, LONGEST_POOL)], needed(form, LONGEST_POOL)) == []


@pytest.mark.parametrize("other", ["other", "default-2"])
@pytest.mark.parametrize("form", FORMS)
def test_it_may_not_do_it_to_another_pool(form: str, other: str):
    """A pool's deployer reaches no other pool, also none whose name begins alike: whatever names one is refused."""
    named = [each for each in needed(form, other) if other in each.resource and ":Describe" not in each.action]
    changing = [each for each in named if each.action not in MADE_WITHOUT_A_NAME]
    assert len(changing) > 5
    assert [each for each in changing if allows([deployer(form)], each)] == []


@pytest.mark.parametrize(
    ("form", "action"),
    [
        ("lambda-tasks", "events:TagResource"),
        ("lambda-tasks", "lambda:TagResource"),
        ("lambda-tasks", "sqs:ListQueueTags"),
        ("lambda-tasks", "iam:TagRole"),
        ("ecs-gpu", "application-autoscaling:TagResource"),
        ("ecs-gpu", "cloudwatch:TagResource"),
        ("sagemaker-async", "s3:TagResource"),
        ("monitoring", "cloudwatch:TagResource"),
    ],
)
def test_the_tags_of_a_stack_are_needed_on_all_that_can_be_tagged(form: str, action: str):
    assert action in {each.action for each in needed(form)}


@pytest.mark.parametrize("form", FORMS)
def test_without_an_action_of_the_need_the_policy_is_found_wanting(form: str):
    """The test can fail: a right taken away is missed."""
    given = deployer(form)
    for statement in given["Statement"]:
        statement["Action"] = [each for each in statement["Action"] if "Tag" not in each]
    assert denied([given], needed(form)) != []


def test_a_new_kind_of_resource_is_not_passed_over():
    made = deployment("monitoring")
    request = made.request()
    text = request.template.replace("Resources:", "Resources:\n  Key:\n    Type: AWS::KMS::Key\n", 1)
    with pytest.raises(KeyError, match="AWS::KMS::Key"):
        required_permissions(dataclasses.replace(request, template=text), place(made))


@pytest.mark.parametrize("form", FORMS)
def test_every_resource_of_the_template_is_rendered(form: str):
    body = parse(deployment(form).request().template)["Resources"]
    unconditional = {name for name, entry in body.items() if "Condition" not in entry}
    rendered = {each.logical for each in resources(form)}
    assert unconditional <= rendered <= set(body)


def test_every_conditional_resource_is_rendered_in_one_of_the_forms():
    bodies = {
        (FORMS[form][0], name) for form in FORMS for name in parse(deployment(form).request().template)["Resources"]
    }
    assert bodies == {(FORMS[form][0], each.logical) for form in FORMS for each in resources(form)}


def test_a_property_brings_what_it_needs():
    template = 'Resources: {Log: {Type: "AWS::Logs::LogGroup", Properties: {LogGroupName: /a, KmsKeyId: k}}}'
    plain = template.replace(", KmsKeyId: k", "")
    where = place(deployment("monitoring"))
    keyed = {each.action for each in required_permissions(StackRequest(template, {}, {}), where)}
    assert "logs:AssociateKmsKey" in keyed - {
        each.action for each in required_permissions(StackRequest(plain, {}, {}), where)
    }


def test_each_property_that_saves_an_action_exists():
    """A property that CloudFormation does not know would leave an action out for good."""
    for kind, patterns in ONLY_WITH.items():
        if kind != "*":
            described = json.dumps(schema(kind))
            missing = [key for keys in patterns.values() for key in keys if f'"{key}"' not in described]
            assert [key for key in missing if not key.lower().startswith("kms")] == [], kind


@needs(IAM_DATA)
def test_the_facts_are_those_that_aws_publishes():
    assert iam_facts.FACTS.read_text() == iam_facts.text(), "python -m tests.support.iam_facts writes them"


def test_the_handlers_are_those_of_the_schemas():
    """Without the reference of actions, too: an action that is new in a handler is in the facts, or IAM has none."""
    known = facts()
    for kind, actions in known["types"].items():
        lost = {action for action, kinds in known["unknown"].items() if kind in kinds}
        handlers = schema(kind)["handlers"]
        asked = {action for handler in handlers.values() for action in handler["permissions"]}
        listed = set(handlers.get("list", {}).get("permissions", ()))
        plain = {action for action in asked - listed if not action.endswith("*")}
        assert plain <= set(actions) | lost, kind
