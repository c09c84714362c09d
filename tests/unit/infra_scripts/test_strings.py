"""Strings as AWS takes them: every property of every stack, rendered with the longest name of a pool."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra_scripts.common.cloudformation import MAX_TEMPLATE_BYTES
from infra_scripts.common.errors import RequestError
from infra_scripts.common.names import POOL, check_pool
from infra_scripts.iam.rendered import parse
from tests.support.infra import documented
from tests.support.infra.deployments import FORMS, LONGEST_POOL, deployment, resources
from tests.support.infra.linted import lint

LONGEST_REGION = "us-gov-east-1"
"""Of its length no other has so long a partition."""


@pytest.mark.long("lints eleven templates once more, filled in: 31 s")
@pytest.mark.parametrize("form", FORMS)
def test_cfn_lint_knows_every_string_of_the_rendered_template(form: str):
    """Filled in first: cfn-lint looks at no string that a function or a parameter makes."""
    made = {
        each.logical: {"Type": each.type, "Properties": each.properties} for each in resources(form, pool=LONGEST_POOL)
    }
    found = lint(json.dumps({"Resources": made}), "us-east-1")
    assert [f"{match.rule.id} {'.'.join(map(str, match.path or []))}: {match.message}" for match in found] == []


@pytest.mark.parametrize("form", FORMS)
def test_every_string_is_as_the_documents_of_its_service_want_it(form: str):
    rendered = resources(form, pool=LONGEST_POOL, region=LONGEST_REGION)
    faults = {each.logical: documented.faults(each.type, each.properties) for each in rendered}
    assert {name: found for name, found in faults.items() if found} == {}


@pytest.mark.parametrize("form", FORMS)
def test_what_the_template_says_of_itself_is_short_enough(form: str):
    text = deployment(form, pool=LONGEST_POOL).request().template
    body = parse(text)
    assert re.fullmatch(documented.TEMPLATE_TEXT, body["Description"])
    for name, parameter in body["Parameters"].items():
        assert re.fullmatch(documented.PARAMETER_TEXT, parameter["Description"]), name
    assert len(body["Parameters"]) <= 200
    assert len(text.encode()) <= MAX_TEMPLATE_BYTES


@pytest.mark.parametrize(
    ("kind", "properties"),
    [
        ("AWS::EC2::SecurityGroup", {"GroupDescription": "Hearth's machines"}),
        ("AWS::EC2::SecurityGroup", {"SecurityGroupIngress": [{"Description": "Q&A"}]}),
        ("AWS::ElasticLoadBalancingV2::LoadBalancer", {"Name": "hearth-ecs-ends-"}),
        ("AWS::ElasticLoadBalancingV2::TargetGroup", {"Name": "a" * 33}),
        ("AWS::IAM::Role", {"Policies": [{"PolicyDocument": {"Statement": [{"Sid": "two words"}]}}]}),
        ("AWS::ECS::CapacityProvider", {"Name": "ecs-hearth"}),
        ("AWS::SageMaker::Endpoint", {"EndpointName": "hearth-ends-"}),
        ("AWS::SQS::Queue", {"QueueName": "a" * 81}),
        ("AWS::SNS::Topic", {"Tags": [{"Key": "whose", "Value": "Hearth's"}]}),
        ("AWS::Lambda::Function", {"Environment": {"Variables": {"LONG": "x" * 5000}}}),
    ],
)
def test_what_aws_refuses_is_found(kind: str, properties: dict[str, object]):
    assert documented.faults(kind, properties) != []


def test_the_longest_name_is_as_long_as_a_name_may_be():
    assert POOL.fullmatch(LONGEST_POOL)
    assert not POOL.fullmatch(LONGEST_POOL + "x")


@pytest.mark.parametrize("pool", ["ends-", "ecs-a", "sagemaker-a", "a-lambda", "a-monitoring", "a-lambda-dead"])
def test_a_name_that_aws_refuses_or_that_another_stack_has_is_refused_before_anything_is_made(pool: str):
    with pytest.raises(RequestError, match=pool):
        check_pool(pool)


@given(st.from_regex(POOL, fullmatch=True), st.from_regex(POOL, fullmatch=True))
def test_no_two_pools_have_a_stack_of_the_same_name(one: str, other: str):
    def stacks(pool: str) -> set[str]:
        return {
            f"hearth-{pool}",
            f"hearth-ecs-{pool}",
            f"hearth-sagemaker-{pool}",
            *(f"hearth-{pool}-{end}" for end in ("lambda", "monitoring")),
        }

    for pool in (one, other):
        try:
            check_pool(pool)
        except RequestError:
            return
    assert one == other or not stacks(one) & stacks(other)
    assert len(stacks(one)) == 5
