"""`hearth infra doctor` on the harness's AWS: each finding is provoked, and nothing is left of the look."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from flows.cli.main import app
from tests.integration.doctor.findings import NETWORK, Doctor, missing_alone
from tests.support.aws.account import Account
from tests.support.aws.faults import denied, error
from tests.support.aws.front import AwsFront

pytestmark = pytest.mark.long("asks a whole account for each test: 1 to 11 s")


class TestAll:
    @pytest.mark.always
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
        assert "No finding prevents the deployment." in done.stdout
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
    @pytest.mark.always
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
