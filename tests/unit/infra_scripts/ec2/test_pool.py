"""The CloudFormation template: judged by cfn-lint, and by what must never be in it."""

from typing import Any

import pytest
from pydantic import ValidationError

from flows.stacks.ec2 import deployment
from infra_scripts.common.deployment import Options
from infra_scripts.common.errors import RequestError
from infra_scripts.ec2.pool import Ec2Stack
from infra_scripts.ec2.template import parameters, plan_rows, template
from infra_scripts.ec2.user_data import config_digest
from tasks.costs.rates import gp3_usd_per_hour
from tasks.settings.ec2 import Ec2Settings, Ec2StackSettings
from tasks.settings.settings import Settings
from tests.support.infra.linted import decode, lint
from tests.support.infra.pools import pool


@pytest.fixture(params=["private", "token", "tunnel"])
def stack(request: pytest.FixtureRequest) -> Ec2Stack:
    return pool(access=request.param)


def resources(stack: Ec2Stack) -> dict[str, Any]:
    parsed, errors = decode(template(stack))
    assert not errors
    found: dict[str, Any] = parsed["Resources"]
    return found


def launch_data(stack: Ec2Stack) -> dict[str, Any]:
    data: dict[str, Any] = resources(stack)["LaunchTemplate"]["Properties"]["LaunchTemplateData"]
    return data


class TestTemplate:
    def test_cfn_lint_finds_nothing_wrong(self, stack: Ec2Stack):
        found = lint(template(stack), "us-east-1", "eu-central-1")
        assert not found

    def test_it_is_small_enough_to_be_sent(self, stack: Ec2Stack):
        assert len(template(stack)) < 51_200

    def test_every_parameter_has_a_value_and_every_value_a_parameter(self, stack: Ec2Stack):
        parsed, _ = decode(template(stack))
        assert set(parsed["Parameters"]) == set(parameters(stack, vpc="vpc-1", subnets=("subnet-1",), ami="ami-1"))

    def test_nothing_is_let_in_but_who_was_named(self, stack: Ec2Stack):
        rules = resources(stack)["SecurityGroup"]["Properties"]["SecurityGroupIngress"]
        assert [rule["CidrIp"] for rule in rules] == list(stack.allow_from)

    def test_metadata_wants_a_token_and_stays_on_the_machine(self, stack: Ec2Stack):
        options = launch_data(stack)["MetadataOptions"]
        assert (options["HttpTokens"], options["HttpPutResponseHopLimit"]) == ("required", 1)

    def test_the_disk_is_encrypted_and_goes_with_the_machine(self, stack: Ec2Stack):
        (disk,) = launch_data(stack)["BlockDeviceMappings"]
        assert disk["Ebs"]["Encrypted"] is True
        assert disk["Ebs"]["DeleteOnTermination"] is True

    def test_there_is_no_key_to_log_in_with(self, stack: Ec2Stack):
        assert "KeyName" not in launch_data(stack)

    def test_a_machine_may_tag_itself_alone_and_with_two_keys_alone(self, stack: Ec2Stack):
        statements = resources(stack)["Role"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
        (tagging,) = (one for one in statements if one["Action"] == "ec2:CreateTags")
        assert tagging["Condition"]["ForAllValues:StringEquals"] == {"aws:TagKeys": ["hearth:stage", "hearth:notice"]}
        assert "${!ec2:InstanceID}" in str(tagging["Condition"]["ArnEquals"]["ec2:SourceInstanceARN"])

    def test_machines_may_put_metrics_in_hearths_namespace_alone_and_only_where_they_tell_any(self, stack: Ec2Stack):
        policy = resources(stack)["MetricsPolicy"]
        assert policy["Condition"] == "Metrics"
        put, see = policy["Properties"]["PolicyDocument"]["Statement"]
        assert put["Action"] == "cloudwatch:PutMetricData"
        assert put["Condition"] == {"StringEquals": {"cloudwatch:namespace": "Hearth"}}
        assert see["Action"] == "dynamodb:GetItem"
        assert see["Condition"] == {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["i-*"]}}
        told = [parameters(pool(metrics=on), vpc="v", subnets=(), ami="a")["Metrics"] for on in (True, False)]
        assert told == ["true", "false"]

    def test_the_log_is_kept_for_two_weeks(self, stack: Ec2Stack):
        assert resources(stack)["LogGroup"]["Properties"]["RetentionInDays"] == 14

    def test_leases_are_forgotten_and_encrypted(self, stack: Ec2Stack):
        table = resources(stack)["Table"]["Properties"]
        assert table["TimeToLiveSpecification"] == {"AttributeName": "forget_at", "Enabled": True}
        assert table["SSESpecification"] == {"SSEEnabled": True}


class TestConfig:
    @pytest.mark.parametrize(
        "changed",
        [
            {"model": "gemma3:12b"},
            {"slots": 4},
            {"num_ctx": 4096},
            {"ollama_version": "0.24.0"},
            {"disk_gb": 200},
            {"disk_throughput": 250},
            {"access": "token"},
            {"watchdog_minutes": 10},
            {"lifetime_hours": 1},
            {"base_ami_parameter": "/another"},
            {"pool": "night"},
            {"metrics": True},
        ],
        ids=str,
    )
    def test_it_differs_where_machines_do(self, changed: dict[str, object]):
        assert config_digest(pool(**changed)) != config_digest(pool())

    @pytest.mark.parametrize("changed", [{"allow_from": ("10.9.0.0/16",)}, {"subnets": ("subnet-1",)}], ids=str)
    def test_it_is_the_same_where_machines_are(self, changed: dict[str, object]):
        assert config_digest(pool(**changed)) == config_digest(pool())


class TestValues:
    @pytest.mark.parametrize(
        "changed",
        [
            {"pool": "Default"},
            {"pool": "default\n"},
            {"region": "mars"},
            {"access": "open"},
            {"model": "x$(reboot)"},
            {"model": "x\nHEARTH_POOL=y"},
            {"ollama_version": "latest"},
            {"watchdog_minutes": 0.1},
            {"allow_from": ()},
            {"access": "tunnel", "allow_from": ("10.0.0.0/16",)},
            {"allow_from": ("0.0.0.0/0",)},
        ],
        ids=str,
    )
    def test_what_would_not_work_or_not_be_safe_is_refused(self, changed: dict[str, object]):
        with pytest.raises((RequestError, ValidationError)):
            pool(**changed)

    def test_a_fast_disk_gets_the_operations_that_its_throughput_needs(self):
        assert (pool(disk_throughput=500).disk_iops, pool(disk_throughput=1000).disk_iops) == (3000, 4000)


class TestPlan:
    def test_the_price_of_a_machine_includes_its_disk_which_a_stopped_machine_still_pays(self):
        settings = Settings(ec2=Ec2Settings(types=("g4dn.xlarge", "x9.huge")), ec2_stack=Ec2StackSettings(disk_gb=300))
        planned = deployment(settings, Options(allow_from=("10.0.0.0/16",)), "us-east-1").plan()
        disk = gp3_usd_per_hour(300, settings.ec2_stack.disk_throughput)
        stopped = f"USD {disk * 730:.2f} a month"
        assert planned.costs.rows == (
            ("g4dn.xlarge", f"USD {0.526 + disk:.3f} an hour", stopped),
            ("x9.huge", "unknown", stopped),
        )

    def test_secrets_are_named_in_token_mode_alone(self, stack: Ec2Stack):
        named = any("/hearth/default/token" in row.name for row in plan_rows(stack))
        assert named == (stack.access == "token")
