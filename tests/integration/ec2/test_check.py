"""`hearth check` on EC2: credentials, the pool and the quota; nothing is launched."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.ec2.test_commands import ec2  # noqa: F401 - a fixture
from tests.support.aws.front import AwsFront
from tests.support.commands import Hearth, Outcome

pytestmark = pytest.mark.long("deploys a pool for each test: 2 to 3 s")


def found(outcome: Outcome, of: str = "ec2") -> list[dict[str, Any]]:
    return [each for each in outcome.json["checks"] if each["of"] == of]


def test_a_deployed_pool_is_ok(ec2: Hearth, aws: AwsFront):  # noqa: F811
    outcome = ec2("check", "--json")
    credentials, deployed, quota = found(outcome)
    assert (outcome.code, outcome.json["backend"]) == (0, "ec2"), outcome.out
    assert credentials["why"].startswith("AWS knows the credentials: arn:aws")
    assert (deployed["state"], "is deployed" in deployed["why"]) == ("ok", True)
    assert quota["state"] in {"unknown", "ok"}  # moto has no such quota
    assert aws.client("ec2").describe_instances()["Reservations"] == []


def test_a_missing_pool_is_reported_with_the_command_that_deploys_it(ec2: Hearth):  # noqa: F811
    outcome = ec2("check", "--json", HEARTH_EC2__POOL="another")
    assert outcome.code == 1
    assert "hearth infra up ec2" in found(outcome)[-1]["why"]


def test_the_credentials_are_not_shown(ec2: Hearth):  # noqa: F811
    told = ec2("check").out
    assert ec2.environment["AWS_SECRET_ACCESS_KEY"] not in told.replace("\n", "")
