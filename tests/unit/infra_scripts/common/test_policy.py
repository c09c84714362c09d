"""Policies: small enough to be managed ones, whatever the pool, its region and its partition."""

from __future__ import annotations

import json
import re

import pytest

from flows.stacks.registry import StackName
from infra_scripts.common.errors import RequestError
from infra_scripts.common.policy import PolicyName, policy, policy_names
from tests.support.infra.deployments import ACCOUNT, LONGEST_POOL
from tests.support.infra.linted import regions

MOST = 5_500
"""Of the 6,144 characters that IAM takes of a managed policy; blanks do not count."""
POLICIES = [(stack, who) for stack in StackName for who in policy_names(stack)]


@pytest.mark.parametrize(("stack", "who"), POLICIES)
def test_a_policy_leaves_room_at_the_longest_pool_and_region(stack: StackName, who: PolicyName):
    known = [region for region in regions() if re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d", region)]
    sizes = {
        region: len(
            re.sub(r"\s", "", json.dumps(policy(who, pool=LONGEST_POOL, account=ACCOUNT, region=region, stack=stack)))
        )
        for region in known
    }
    assert len(known) > 30
    assert {region: size for region, size in sizes.items() if size >= MOST} == {}


def test_every_stack_has_a_caller_a_deployer_and_a_doctor_and_machines_alone_are_baked():
    assert {
        stack: set(policy_names(stack)) - {PolicyName.CALLER, PolicyName.DEPLOYER, PolicyName.DOCTOR}
        for stack in StackName
    } == {
        **{stack: set() for stack in StackName},
        StackName.EC2: {PolicyName.BAKER},
    }


def test_a_policy_that_a_stack_has_not_is_refused():
    with pytest.raises(RequestError, match="baker"):
        policy(PolicyName.BAKER, pool="default", account=ACCOUNT, region="us-east-1", stack=StackName.ECS)
