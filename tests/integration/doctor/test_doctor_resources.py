"""`hearth infra doctor` on the harness's AWS: machines, the change set, quotas, functions and images."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from flows.cli.main import app
from infra_scripts.common.container_images import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from tests.integration.doctor.findings import NETWORK, Doctor, missing_alone
from tests.support.aws.account import Account
from tests.support.aws.faults import denied, error
from tests.support.aws.front import AwsFront
from tests.support.aws.pool import Network
from tests.support.infra.container_images import push_image

pytestmark = pytest.mark.long("asks a whole account for each test: 2 to 10 s")


class TestMachines:
    def test_a_disk_that_is_smaller_than_the_images_snapshot_is_told_with_the_setting(
        self, doctor: Doctor, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setenv("HEARTH_EC2_STACK__DISK_GB", "60")
        seen = doctor()
        assert missing_alone(seen, "image"), seen.told
        assert seen.one("image", "Set HEARTH_EC2_STACK__DISK_GB to at least 100") == "missing"

    def test_a_parameter_that_names_no_image_is_told_with_its_setting(
        self, doctor: Doctor, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setenv("HEARTH_ECS_STACK__AMI_PARAMETER", "/no/such")
        seen = doctor("ecs")
        assert seen.one("image", "HEARTH_ECS_STACK__AMI_PARAMETER") == "missing"

    def test_an_image_that_is_gone_is_told(self, doctor: Doctor, aws: AwsFront, image: str):
        aws.behind("ec2").deregister_image(ImageId=image)
        assert doctor().one("image", image + " does not exist") == "missing"

    def test_types_that_no_zone_of_the_subnets_offers_are_told_by_zone(
        self, doctor: Doctor, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setenv("HEARTH_EC2__TYPES", '["p9.huge"]')
        seen = doctor()
        assert seen.one("zones", "p9.huge in none") == "missing"

    def test_a_load_balancer_needs_two_zones(self, doctor: Doctor, network: Network, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("HEARTH_ECS_STACK__SUBNETS", json.dumps([network.subnets["a"]]))
        assert doctor("ecs").one("zones", "needs subnets in two zones") == "missing"

    @pytest.mark.parametrize("operation", ["CreateSecurityGroup", "CreateLaunchTemplate"])
    def test_what_ec2_would_not_permit_is_told(self, doctor: Doctor, aws: AwsFront, operation: str):
        aws.inject(denied(), operation, times=None)
        seen = doctor()
        assert missing_alone(seen, "dry run")
        assert seen.one("dry run", f"does not permit {operation}") == "missing"


class TestChangeSet:
    def test_a_template_that_cloudformation_refuses_is_told_with_its_reason(self, doctor: Doctor, aws: AwsFront):
        aws.inject(error("ValidationError", "Invalid GroupDescription"), "CreateChangeSet", times=None)
        aws.inject(error("ChangeSetNotFound", status=404), "DeleteChangeSet", times=None)  # moto crashes over it
        seen = doctor()
        assert missing_alone(seen, "change set")
        assert seen.one("change set", "Invalid GroupDescription") == "missing"

    def test_the_empty_stack_goes_though_the_look_broke(self, doctor: Doctor, aws: AwsFront):
        aws.inject(error("InternalFailure"), "DescribeChangeSet", times=None)
        assert doctor()["change set"][0][0] == "unknown"
        assert aws.client("cloudformation").describe_stacks()["Stacks"] == []

    def test_a_stack_that_stands_is_compared_and_stays(self, doctor: Doctor, aws: AwsFront):
        assert CliRunner().invoke(app, ["infra", "up", "ec2", "--allow-from", NETWORK, "--yes"]).exit_code == 0
        before = aws.client("cloudformation").describe_stacks()["Stacks"]
        seen = doctor()
        assert [state for state, _ in seen["change set"]] == ["ok"], seen.told
        after = aws.client("cloudformation").describe_stacks()["Stacks"]
        assert [stack["StackId"] for stack in after] == [stack["StackId"] for stack in before]
        assert aws.called("CreateChangeSet")[-1].parameters["ChangeSetType"] == "UPDATE"


class TestAccount:
    def test_quotas_of_zero_are_told_by_their_names(self, doctor: Doctor, account: Account):
        account.usual = 0.0
        seen = doctor()
        assert missing_alone(seen, "quotas")
        assert seen.one("quotas", "All G and VT Spot Instance Requests (L-3819A6DF) is 0") == "missing"
        assert seen.one("quotas", "Running On-Demand G and VT instances (L-DB2E81BA) is 0") == "missing"

    def test_one_market_with_room_is_enough(self, doctor: Doctor, account: Account):
        account.quotas = {"L-3819A6DF": 0.0}
        assert doctor().code == 0

    def test_fargate_has_a_quota_of_its_own(self, doctor: Doctor, account: Account, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("HEARTH_ECS_STACK__CAPACITY", "fargate")
        account.quotas = {"L-3032A538": 2.0}
        assert doctor("ecs").one("quotas", "Fargate On-Demand vCPU resource count (L-3032A538) is 2") == "missing"

    def test_a_quota_that_cannot_be_asked_for_is_unknown(self, doctor: Doctor, aws: AwsFront, account: Account):
        account.left = {"GetServiceQuota"}
        aws.inject(denied(), "GetServiceQuota", times=None)
        seen = doctor()
        assert (seen.code, [state for state, _ in seen["quotas"]]) == (0, ["unknown"])

    def test_a_role_that_nobody_made_and_that_may_not_be_made_is_told_with_the_command(
        self, doctor: Doctor, account: Account
    ):
        account.refused = {"iam:CreateServiceLinkedRole"}
        seen = doctor("ecs")
        told = "aws iam create-service-linked-role --aws-service-name elasticloadbalancing.amazonaws.com"
        assert seen.one("roles", told) == "missing"

    def test_one_that_is_there_is_ok(self, doctor: Doctor, account: Account, aws: AwsFront):
        account.refused = {"iam:CreateServiceLinkedRole"}
        aws.behind("iam").create_role(RoleName="AWSServiceRoleForECS", AssumeRolePolicyDocument="{}")
        assert doctor("ecs").one("roles", "AWSServiceRoleForECS ") == "ok"


class TestLambda:
    @pytest.fixture(autouse=True)
    def settings(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HEARTH_TRIGGER__BUCKET", "papers")
        monkeypatch.setenv("HEARTH_OUTPUT", "s3://papers-read/results")
        monkeypatch.setenv("HEARTH_TRIGGER__PREFECT_URL", "https://prefect.example/api")

    def test_an_account_with_ten_functions_can_reserve_none(
        self, doctor: Doctor, account: Account, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setenv("HEARTH_TRIGGER__RESERVED_CONCURRENCY", "2")
        account.functions = (10, 10)
        assert doctor("lambda").one("concurrency", "HEARTH_TRIGGER__RESERVED_CONCURRENCY=0") == "missing"

    @pytest.mark.parametrize(("functions", "state"), [((1000, 900), "ok"), ((1000, 60), "unknown")])
    def test_others_can_as_far_as_is_known(
        self, doctor: Doctor, account: Account, monkeypatch: pytest.MonkeyPatch, functions: tuple[int, int], state: str
    ):
        monkeypatch.setenv("HEARTH_TRIGGER__RESERVED_CONCURRENCY", "2")
        account.functions = functions
        assert doctor("lambda").one("concurrency", f"runs up to {functions[0]} functions") == state


class TestContainer:
    IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/hearth:1"

    @pytest.fixture(autouse=True)
    def settings(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HEARTH_SAGEMAKER_STACK__IMAGE", self.IMAGE)

    def test_an_image_that_is_not_there_is_told(self, doctor: Doctor):
        assert doctor("sagemaker").one("container", "ECR has no image") == "missing"

    @pytest.mark.parametrize("kind", [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST])
    def test_sagemaker_refuses_all_but_dockers_own_manifest(self, doctor: Doctor, aws: AwsFront, kind: str):
        push_image(self.IMAGE, kind, aws.behind("ecr"))
        seen = doctor("sagemaker")
        assert seen.one("container", f"has the type {kind}") == "missing"
        assert "push_image.sh" in seen["container"][0][1]

    def test_and_takes_that(self, doctor: Doctor, aws: AwsFront):
        push_image(self.IMAGE, DOCKER_MANIFEST, aws.behind("ecr"))
        assert doctor("sagemaker").one("container", DOCKER_MANIFEST) == "ok"

    def test_a_repository_of_the_stack_is_made_by_up(self, doctor: Doctor):
        assert doctor("ecs").one("container", "push it afterwards") == "ok"
