"""The commands of `hearth infra`, on moto's server."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from flows.cli.infra import infra
from flows.stacks.ec2 import Ec2Deployment
from flows.stacks.registry import StackName, open_deployment
from infra_scripts.common.deployment import Options
from infra_scripts.common.policy import policy, policy_names
from tasks.settings.settings import load_settings
from tests.integration.infra.test_bake import machine_says
from tests.support.infra.fixtures import BASE_PARAMETER, Cloud
from tests.support.infra.machine_stubs import free_port

pytestmark = pytest.mark.long("runs commands that deploy: 1 to 7 s")


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEARTH_EC2_STACK__BASE_AMI_PARAMETER", BASE_PARAMETER)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def no_aws(aws_environment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS is where nothing listens."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")


def _stack(cloud: Cloud) -> Any:
    return cloud.aws.cloudformation.describe_stacks(StackName="hearth-default")["Stacks"][0]


def run(*arguments: str, answer: str = "") -> Result:
    return CliRunner().invoke(infra, list(arguments), input=answer)


@pytest.mark.usefixtures("settings")
class TestInfra:
    @pytest.mark.always
    def test_up_shows_resources_and_costs_asks_and_creates_them(self, cloud: Cloud):
        done = run("up", "ec2", "--allow-from", "10.0.0.0/16", answer="y\n")
        assert done.exit_code == 0, done.output
        assert "port 11434 from 10.0.0.0/16" in done.output
        assert "g4dn.xlarge" in done.output
        assert "a month" in done.output
        assert "Make it?" in done.output
        assert "hearth-default in us-east-1 is created" in done.output
        assert cloud.parameter("/hearth/default/ami")

    def test_nothing_is_created_after_a_no(self, cloud: Cloud):
        assert run("up", "ec2", "--allow-from", "10.0.0.0/16", answer="n\n").exit_code == 1
        assert cloud.parameter("/hearth/default/ami") is None

    def test_a_dry_run_calls_no_aws(self, no_aws: None):
        done = run("up", "ec2", "--allow-from", "10.0.0.0/16", "--dry-run")
        assert done.exit_code == 0
        assert "launch template" in done.output

    def test_access_from_everywhere_is_refused_in_one_line(self, cloud: Cloud):
        done = run("up", "ec2", "--allow-from", "0.0.0.0/0", "--yes")
        assert done.exit_code == 2
        assert done.output.startswith("Error: 0.0.0.0/0 would admit")
        assert done.output.count("\n") == 1
        assert "Traceback" not in done.output

    @pytest.mark.always
    def test_down_removes_what_up_created(self, cloud: Cloud):
        run("up", "ec2", "--allow-from", "10.0.0.0/16", "--yes")
        done = run("down", "ec2", "--yes")
        assert done.exit_code == 0, done.output
        assert "is gone" in done.output
        assert cloud.parameter("/hearth/default/ami") is None

    def test_status_distinguishes_existing_and_missing_stacks(self, cloud: Cloud):
        assert "hearth-default in us-east-1: not deployed. machines: none" in run("status", "ec2").output
        run("up", "ec2", "--allow-from", "10.0.0.0/16", "--yes")
        cloud.launch({output["OutputKey"]: output["OutputValue"] for output in _stack(cloud)["Outputs"]})
        done = run("status", "--json")
        assert done.exit_code == 0, done.output
        found = json.loads(done.output)["ec2"]
        assert (found["state"], found["access"], found["machines"]) == (
            "CREATE_COMPLETE",
            "private, port 11434",
            "1 running",
        )

    def test_an_option_that_a_stack_does_not_support_is_refused(self, cloud: Cloud, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(Ec2Deployment, "supported_options", frozenset({"allow_from"}))
        done = run("down", "ec2", "--images", "--yes")
        assert done.exit_code == 2
        assert "The ec2 stack does not support --images" in done.output

    def test_bake_creates_an_image(self, cloud: Cloud, monkeypatch: pytest.MonkeyPatch):
        # The test's own clients, as moto's CreateImage has to be helped.
        monkeypatch.setattr("infra_scripts.common.clients.connect", lambda _: cloud.aws)
        run("up", "ec2", "--allow-from", "10.0.0.0/16", "--yes")
        with machine_says(cloud, "serving"):
            done = run("bake", "--yes")
        assert done.exit_code == 0, done.output
        assert "Baked ami-" in done.output

    def test_bake_without_a_stack_names_the_remedy(self, cloud: Cloud):
        done = run("bake", "--yes")
        assert done.exit_code == 2
        assert "hearth infra up ec2" in done.output

    def test_the_template_is_printed_without_calling_aws(self, no_aws: None):
        done = run("template", "ec2", "--allow-from", "10.0.0.0/16")
        assert done.exit_code == 0
        assert done.output.startswith("AWSTemplateFormatVersion")

    @pytest.mark.parametrize("who", ["caller", "deployer"])
    def test_a_policy_is_printed_for_the_account(self, cloud: Cloud, who: str):
        done = run("policy", who)
        assert done.exit_code == 0, done.output
        assert ":123456789012:" in done.output
        assert json.loads(done.output)["Version"] == "2012-10-17"

    def test_without_a_region_the_error_names_the_setting(self, cloud: Cloud, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.delenv("AWS_REGION")
        monkeypatch.delenv("AWS_DEFAULT_REGION")
        done = run("down", "ec2", "--yes")
        assert done.exit_code == 1
        assert "HEARTH_EC2__REGION" in done.output


@pytest.mark.always
@pytest.mark.parametrize("name", list(StackName))
def test_every_stack_of_the_registry_opens_and_has_a_policy_for_each(name: StackName):
    deployment = open_deployment(name, load_settings(), Options(), "us-east-1")
    assert deployment.name.startswith("hearth-")
    for who in policy_names(name):
        assert policy(who, pool="default", account="123456789012", region="us-east-1", stack=name.value)["Statement"]
