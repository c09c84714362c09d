"""`hearth infra doctor` on the harness's AWS: each finding is provoked, and nothing is left of the look."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import CliRunner

from flows.cli.main import app
from infra_scripts.common.container_images import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from tests.support.aws.account import Account, account_of
from tests.support.aws.faults import denied, error
from tests.support.aws.front import AwsFront
from tests.support.aws.pool import Network
from tests.support.infra.container_images import push_image

NETWORK = "10.20.0.0/16"
PARAMETER = "/base/ami-id"
Doctor = Callable[..., "Seen"]


class Seen:
    """What the doctor found."""

    def __init__(self, code: int, told: dict[str, Any]) -> None:
        self.code, self.told = code, told

    def __getitem__(self, of: str) -> list[tuple[str, str]]:
        """The findings of something: state, and what is said with what to do."""
        found = [each for each in self.told["checks"] if each["of"] == of]
        return [(each["state"], " ".join(filter(None, (each["why"], each["remedy"])))) for each in found]

    def one(self, of: str, words: str) -> str:
        """The state of the only finding that says so."""
        (state,) = [state for state, told in self[of] if words in told]
        return state


@pytest.fixture
def account(aws: AwsFront) -> Account:
    return account_of(aws)


@pytest.fixture
def image(aws: AwsFront) -> str:
    """The image that the parameter names."""
    made = {"Name": "base", "Architecture": "x86_64", "RootDeviceName": "/dev/sda1", "VirtualizationType": "hvm"}
    ami = aws.behind("ec2").register_image(**made)["ImageId"]
    aws.behind("ssm").put_parameter(Name=PARAMETER, Value=ami, Type="String")
    return str(ami)


@pytest.fixture
def doctor(account: Account, image: str, network: Network, monkeypatch: pytest.MonkeyPatch) -> Doctor:
    subnets = json.dumps(list(network.subnets.values()))
    for stack in ("EC2", "ECS"):
        monkeypatch.setenv(f"HEARTH_{stack}_STACK__SUBNETS", subnets)
    monkeypatch.setenv("HEARTH_TRIGGER__SUBNETS", subnets)
    monkeypatch.setenv("HEARTH_EC2_STACK__BASE_AMI_PARAMETER", PARAMETER)
    monkeypatch.setenv("HEARTH_ECS_STACK__AMI_PARAMETER", PARAMETER)

    def run(stack: str = "ec2", *arguments: str) -> Seen:
        allowed = ("--allow-from", NETWORK) if stack in {"ec2", "ecs"} else ()
        done = CliRunner().invoke(app, ["infra", "doctor", stack, "--json", *allowed, *arguments])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return Seen(done.exit_code, json.loads(done.stdout))

    return run


def missing_alone(seen: Seen, of: str) -> bool:
    """Whether nothing but this is missing."""
    return {each["of"] for each in seen.told["checks"] if each["state"] == "missing"} == {of} and seen.code == 1


class TestAll:
    def test_where_nothing_is_in_the_way_every_line_is_ok_and_so_is_the_exit_code(self, doctor: Doctor, aws: AwsFront):
        seen = doctor()
        assert (seen.code, seen.told["deployable"]) == (0, True), seen.told
        assert {each["state"] for each in seen.told["checks"]} == {"ok"}, seen.told
        looked = {each["of"] for each in seen.told["checks"]}
        assert looked == {"credentials", "permissions", "roles", "zones", "image", "dry run", "change set", "quotas"}

    def test_nothing_is_left_of_the_look(self, doctor: Doctor, aws: AwsFront):
        doctor()
        assert aws.client("cloudformation").describe_stacks()["Stacks"] == []
        assert aws.client("ec2").describe_launch_templates()["LaunchTemplates"] == []
        assert aws.client("ec2").describe_instances()["Reservations"] == []
        made = {call.action for call in aws.calls if call.action.startswith(("Create", "Put", "Run", "Register"))}
        assert made == {"CreateChangeSet", "CreateSecurityGroup", "CreateLaunchTemplate"}
        dry = aws.called("CreateSecurityGroup", "CreateLaunchTemplate")
        assert all(call.parameters["DryRun"] == "true" for call in dry)
        assert len(aws.called("DeleteChangeSet")) == len(aws.called("CreateChangeSet")) == 1

    def test_a_person_gets_a_line_a_finding(self, doctor: Doctor):
        done = CliRunner().invoke(app, ["infra", "doctor", "ec2", "--allow-from", NETWORK])
        assert "Nothing that was found is in the way." in done.stdout
        assert "missing" not in done.stdout

    def test_a_wrong_option_is_refused_before_aws_is_asked(self, doctor: Doctor, aws: AwsFront):
        done = CliRunner().invoke(app, ["infra", "doctor", "ec2", "--allow-from", "0.0.0.0/0"])
        assert done.exit_code == 2
        assert aws.calls == []


class TestCredentials:
    def test_without_credentials_nothing_else_is_asked(self, doctor: Doctor, aws: AwsFront, account: Account):
        account.left = {"GetCallerIdentity"}
        aws.inject(error("InvalidClientTokenId"), "GetCallerIdentity", times=None)
        seen = doctor()
        assert missing_alone(seen, "credentials")
        assert {call.action for call in aws.calls} == {"GetCallerIdentity"}


class TestPermissions:
    def test_an_action_that_is_not_allowed_is_named_with_the_command_that_prints_the_policy(
        self, doctor: Doctor, account: Account
    ):
        account.refused = {"ec2:CreateTags"}
        seen = doctor()
        assert missing_alone(seen, "permissions")
        ((_, told),) = seen["permissions"]
        assert "ec2:CreateTags" in told
        assert "hearth infra policy deployer ec2" in told

    @pytest.mark.parametrize(
        ("key", "words"),
        [
            ("AllowedByPermissionsBoundary", "by the permissions boundary"),
            ("AllowedByOrganizations", "by the organization"),
        ],
    )
    def test_what_no_policy_of_ones_own_can_mend_is_said(self, doctor: Doctor, account: Account, key: str, words: str):
        account.refused, account.explained = {"iam:CreateRole"}, {key: False}
        assert doctor().one("permissions", words) == "missing"

    def test_of_a_session_the_roles_own_policies_count_wherever_its_path_is(
        self, doctor: Doctor, account: Account, aws: AwsFront
    ):
        trust = {"RoleName": "Deployer", "Path": "/teams/", "AssumeRolePolicyDocument": "{}"}
        role = aws.behind("iam").create_role(**trust)["Role"]["Arn"]
        account.arn = "arn:aws:sts::123456789012:assumed-role/Deployer/alice"
        assert doctor().code == 0
        assert account.principals == {role}

    def test_of_the_accounts_root_nothing_can_be_simulated(self, doctor: Doctor, account: Account):
        account.arn = "arn:aws:iam::123456789012:root"
        assert doctor().one("permissions", "neither a user nor a role") == "unknown"
        assert account.principals == set()

    def test_conditions_of_the_policy_are_met_in_the_simulation(self, doctor: Doctor, account: Account):
        doctor()
        contexts = {key for _, _, context in account.simulated for key in context}
        assert "aws:RequestedRegion" in contexts

    def test_a_simulation_that_is_not_permitted_is_unknown_and_in_nobodys_way(
        self, doctor: Doctor, aws: AwsFront, account: Account
    ):
        account.left = {"SimulatePrincipalPolicy"}
        aws.inject(denied(), "SimulatePrincipalPolicy", times=None)
        seen = doctor()
        assert (seen.code, seen.one("permissions", "hearth infra policy doctor")) == (0, "unknown")


class TestMachines:
    def test_a_disk_that_is_smaller_than_the_images_snapshot_is_told_with_the_setting(
        self, doctor: Doctor, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setenv("HEARTH_EC2_STACK__DISK_GB", "60")
        seen = doctor()
        assert missing_alone(seen, "image"), seen.told
        assert seen.one("image", "Set HEARTH_EC2_STACK__DISK_GB to 100") == "missing"

    def test_a_parameter_that_names_no_image_is_told_with_its_setting(
        self, doctor: Doctor, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setenv("HEARTH_ECS_STACK__AMI_PARAMETER", "/no/such")
        seen = doctor("ecs")
        assert seen.one("image", "HEARTH_ECS_STACK__AMI_PARAMETER") == "missing"

    def test_an_image_that_is_gone_is_told(self, doctor: Doctor, aws: AwsFront, image: str):
        aws.behind("ec2").deregister_image(ImageId=image)
        assert doctor().one("image", image + " is not there") == "missing"

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
        assert doctor("lambda").one("concurrency", f"runs {functions[0]} functions") == state


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
        assert seen.one("container", f"is of the type {kind}") == "missing"
        assert "push_image.sh" in seen["container"][0][1]

    def test_and_takes_that(self, doctor: Doctor, aws: AwsFront):
        push_image(self.IMAGE, DOCKER_MANIFEST, aws.behind("ecr"))
        assert doctor("sagemaker").one("container", DOCKER_MANIFEST) == "ok"

    def test_a_repository_of_the_stack_is_made_by_up(self, doctor: Doctor):
        assert doctor("ecs").one("container", "push it afterwards") == "ok"
