"""The pool's stack, created and removed on moto's server over HTTP."""

import ssl
from datetime import UTC, datetime

import pytest
from cryptography import x509

from infra_scripts.common.cloudformation import Change
from infra_scripts.common.errors import InUseError, LeftoverError
from infra_scripts.ec2.access import parameter_names
from infra_scripts.ec2.deploy import down
from infra_scripts.ec2.user_data import config_digest
from tests.integration.infra.ec2_deploy import POLL, bring_up
from tests.support.infra.fixtures import BASE_PARAMETER, Cloud
from tests.support.infra.pools import NETWORK, pool

pytestmark = pytest.mark.long("deploys a stack for each test: 1 to 3 s")

OUTPUTS = {
    "LaunchTemplateId", "LaunchTemplateVersion", "TableName", "LogGroupName", "AmiParameter",
    "Subnets", "Access", "Port", "Slots", "Config",
}  # fmt: skip


class TestUp:
    @pytest.mark.always
    def test_the_outputs_contain_everything_that_runs_need(self, cloud: Cloud):
        made = bring_up(cloud)
        assert made.change is Change.CREATED
        assert set(made.outputs) == OUTPUTS
        assert made.outputs["Config"] == config_digest(pool())
        assert (made.outputs["Access"], made.outputs["Port"], made.outputs["Slots"]) == ("private", "11434", "8")
        assert made.outputs["AmiParameter"] == "/hearth/default/ami"

    def test_a_second_up_changes_nothing(self, cloud: Cloud):
        bring_up(cloud)
        assert bring_up(cloud).change is Change.UNCHANGED

    def test_other_settings_create_a_new_template_version_and_another_config(self, cloud: Cloud):
        before = bring_up(cloud).outputs
        after = bring_up(cloud, slots=4)
        assert after.change is Change.UPDATED
        assert after.outputs["LaunchTemplateVersion"] > before["LaunchTemplateVersion"]
        assert after.outputs["Config"] != before["Config"]

    @pytest.mark.always
    def test_only_allowed_networks_reach_only_the_port(self, cloud: Cloud):
        bring_up(cloud, access="token")
        filters = [{"Name": "tag:hearth:pool", "Values": ["default"]}]
        (group,) = cloud.aws.ec2.describe_security_groups(Filters=filters)["SecurityGroups"]  # type: ignore[arg-type]
        (rule,) = group["IpPermissions"]
        assert (rule["FromPort"], rule["ToPort"], [one["CidrIp"] for one in rule["IpRanges"]]) == (
            11435,
            11435,
            [NETWORK],
        )

    def test_with_access_by_tunnel_no_port_is_open(self, cloud: Cloud):
        bring_up(cloud, access="tunnel")
        filters = [{"Name": "tag:hearth:pool", "Values": ["default"]}]
        (group,) = cloud.aws.ec2.describe_security_groups(Filters=filters)["SecurityGroups"]  # type: ignore[arg-type]
        assert group["IpPermissions"] == []

    def test_a_machine_launched_from_the_template_carries_the_pools_tags(self, cloud: Cloud):
        outputs = bring_up(cloud).outputs
        machine = cloud.launch(outputs)
        found = cloud.aws.ec2.describe_instances(InstanceIds=[machine])["Reservations"][0]["Instances"][0]
        tags = {tag["Key"]: tag["Value"] for tag in found["Tags"]}
        assert (tags["hearth:pool"], tags["hearth:config"], tags["Name"]) == (
            "default",
            outputs["Config"],
            "hearth-default",
        )

    def test_the_subnets_are_those_of_the_default_network_unless_configured(self, cloud: Cloud):
        all_of_them = bring_up(cloud).outputs["Subnets"].split(",")
        assert len(all_of_them) > 1
        assert bring_up(cloud, subnets=(all_of_them[1],)).outputs["Subnets"] == all_of_them[1]

    def test_progress_is_shown(self, cloud: Cloud):
        bring_up(cloud)
        assert any("create complete" in text for text in cloud.told)

    def test_events_of_an_earlier_deployment_are_not_shown_again(self, cloud: Cloud):
        bring_up(cloud)
        cloud.told.clear()
        down(cloud.aws, "default", cloud.listen, poll_seconds=POLL)
        assert not any("create complete" in text for text in cloud.told)

    def test_a_stack_that_was_rolled_back_is_deleted_and_created_again(self, cloud: Cloud):
        bring_up(cloud)
        # SCRIPTED: moto never rolls back. The stack is there, and AWS says that it is in ROLLBACK_COMPLETE.
        status = {"now": "ROLLBACK_COMPLETE"}

        def rolled_back(parsed: dict[str, list[dict[str, str]]], **_: object) -> None:
            for stack in parsed.get("Stacks", []):
                stack["StackStatus"] = status["now"] or stack["StackStatus"]

        def deleted(**_: object) -> None:
            status["now"] = ""

        cloud.on("after-call", "DescribeStacks", rolled_back)
        cloud.on("before-call", "DeleteStack", deleted)
        assert bring_up(cloud).change is Change.CREATED
        assert any("created anew" in text for text in cloud.told)


class TestToken:
    @pytest.mark.always
    def test_secrets_are_created_and_the_certificate_works_for_tls(self, cloud: Cloud):
        bring_up(cloud, access="token")
        token, key, public = (cloud.parameter(name) for name in parameter_names("default"))
        assert token is not None
        assert key is not None
        assert public is not None
        assert len(token) == 64
        made = x509.load_pem_x509_certificate(public.encode())
        names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.DNSName) == ["hearth"]
        assert (made.not_valid_after_utc - datetime.now(UTC)).days > 3640
        ssl.create_default_context(cadata=public)

    def test_the_token_and_the_key_are_secure_strings(self, cloud: Cloud):
        bring_up(cloud, access="token")
        found = cloud.aws.ssm.get_parameters(Names=list(parameter_names("default")))["Parameters"]
        kinds = {parameter["Name"].rpartition("/")[2]: parameter["Type"] for parameter in found}
        assert kinds == {"token": "SecureString", "tls-key": "SecureString", "tls-certificate": "String"}

    def test_existing_secrets_are_kept(self, cloud: Cloud):
        bring_up(cloud, access="token")
        before = [cloud.parameter(name) for name in parameter_names("default")]
        bring_up(cloud, access="token", slots=4)
        assert [cloud.parameter(name) for name in parameter_names("default")] == before

    def test_no_secret_is_printed(self, cloud: Cloud):
        bring_up(cloud, access="token")
        token = cloud.parameter("/hearth/default/token")
        assert token
        assert not any(token in text for text in cloud.told)

    def test_without_access_by_token_no_secret_is_created(self, cloud: Cloud):
        bring_up(cloud)
        assert cloud.parameter("/hearth/default/token") is None


class TestDown:
    @pytest.mark.always
    def test_down_leaves_nothing_and_can_be_repeated(self, cloud: Cloud):
        outputs = bring_up(cloud, access="token").outputs
        machine = cloud.launch(outputs)
        cloud.aws.ec2.stop_instances(InstanceIds=[machine])
        done = down(cloud.aws, "default", cloud.listen, poll_seconds=POLL)
        assert done.terminated == (machine,)
        assert cloud.state(machine) == "terminated"
        assert [cloud.parameter(name) for name in (*parameter_names("default"), "/hearth/default/ami")] == [None] * 4
        assert down(cloud.aws, "default", cloud.listen, poll_seconds=POLL).terminated == ()
        assert bring_up(cloud).change is Change.CREATED

    def test_running_machines_are_named_and_nothing_is_removed(self, cloud: Cloud):
        machine = cloud.launch(bring_up(cloud).outputs)
        with pytest.raises(InUseError, match=machine) as caught:
            down(cloud.aws, "default", cloud.listen, poll_seconds=POLL)
        assert caught.value.exit_code == 2
        assert cloud.state(machine) == "running"
        assert cloud.parameter("/hearth/default/ami") is not None

    def test_running_machines_are_ended_with_force(self, cloud: Cloud):
        machine = cloud.launch(bring_up(cloud).outputs)
        assert down(cloud.aws, "default", cloud.listen, force=True, poll_seconds=POLL).terminated == (machine,)
        assert cloud.state(machine) == "terminated"

    def test_other_pools_are_not_changed(self, cloud: Cloud):
        bring_up(cloud)
        other = cloud.launch(bring_up(cloud, pool="night").outputs)
        down(cloud.aws, "default", cloud.listen, poll_seconds=POLL)
        assert cloud.state(other) == "running"
        assert cloud.parameter("/hearth/night/ami") is not None

    def test_a_leftover_disk_is_deleted(self, cloud: Cloud):
        bring_up(cloud)
        tags = [{"ResourceType": "volume", "Tags": [{"Key": "hearth:pool", "Value": "default"}]}]
        cloud.aws.ec2.create_volume(AvailabilityZone="us-east-1a", Size=1, TagSpecifications=tags)  # type: ignore[arg-type]
        down(cloud.aws, "default", cloud.listen, poll_seconds=POLL)
        assert not [volume for volume in cloud.aws.ec2.describe_volumes()["Volumes"] if volume.get("Tags")]

    def test_leftovers_are_named(self, cloud: Cloud):
        bring_up(cloud)
        stuck = cloud.aws.ec2.run_instances(ImageId=cloud.base_image(), InstanceType="t3.micro", MinCount=1, MaxCount=1)
        disk = cloud.aws.ec2.describe_volumes()["Volumes"][0]["VolumeId"]
        cloud.aws.ec2.create_tags(Resources=[disk], Tags=[{"Key": "hearth:pool", "Value": "default"}])
        with pytest.raises(LeftoverError, match=disk) as caught:
            down(cloud.aws, "default", cloud.listen, poll_seconds=POLL)
        assert caught.value.left == (f"disk {disk}",)
        assert stuck["Instances"]

    def test_a_stack_that_cannot_be_deleted_is_named_with_the_reason(self, cloud: Cloud):
        bring_up(cloud)

        def failed(parsed: dict[str, list[dict[str, str]]], **_: object) -> None:
            # SCRIPTED: moto deletes whatever it is told to.
            for stack in parsed.get("Stacks", []):
                stack["StackStatus"] = "DELETE_FAILED"

        cloud.fail("DeleteStack", "", status=200)
        cloud.on("after-call", "DescribeStacks", failed)
        with pytest.raises(LeftoverError, match=r"stack hearth-default \(DELETE_FAILED\)"):
            down(cloud.aws, "default", cloud.listen, poll_seconds=POLL)


@pytest.mark.always
def test_the_base_image_parameter_of_the_tests_is_that_of_the_pool(cloud: Cloud):
    assert pool().base_ami_parameter == BASE_PARAMETER
