"""A pool's stack that cannot be created: the reason is shown in plain words."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from infra_scripts.common.clients import connect
from infra_scripts.common.cloudformation import Change
from infra_scripts.common.errors import AccessError, RequestError, StackError
from infra_scripts.ec2.deploy import down, up
from tests.integration.infra.ec2_deploy import POLL, bring_up
from tests.support.infra.fixtures import Cloud
from tests.support.infra.pools import pool

pytestmark = pytest.mark.long("deploys a stack for each test: 1 s")


class TestRefusals:
    def test_without_a_default_network_subnets_are_required(self, cloud: Cloud):
        for vpc in cloud.aws.ec2.describe_vpcs()["Vpcs"]:
            for subnet in cloud.aws.ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}])[
                "Subnets"
            ]:
                cloud.aws.ec2.delete_subnet(SubnetId=subnet["SubnetId"])
            cloud.aws.ec2.delete_vpc(VpcId=vpc["VpcId"])
        with pytest.raises(RequestError, match="HEARTH_EC2_STACK__SUBNETS"):
            bring_up(cloud)

    def test_missing_subnets_are_refused(self, cloud: Cloud):
        with pytest.raises(RequestError, match="subnet-0123"):
            bring_up(cloud, subnets=("subnet-0123",))

    def test_subnets_of_two_networks_are_refused(self, cloud: Cloud):
        vpc = cloud.aws.ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
        other = cloud.aws.ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"]
        ours = cloud.aws.ec2.describe_subnets()["Subnets"][0]["SubnetId"]
        with pytest.raises(RequestError, match="several VPCs"):
            bring_up(cloud, subnets=(ours, other))

    def test_an_unknown_base_image_parameter_is_refused(self, cloud: Cloud):
        with pytest.raises(RequestError, match="/no/such"):
            bring_up(cloud, base_ami_parameter="/no/such")

    @pytest.mark.parametrize(
        ("operation", "code", "says"),
        [
            ("DescribeVpcs", "UnauthorizedOperation", "does not permit DescribeVpcs.*policy deployer"),
            ("CreateStack", "AccessDenied", "does not permit CreateStack"),
            ("DescribeVpcs", "ExpiredToken", "expired"),
            ("DescribeVpcs", "AuthFailure", "AWS rejected the credentials"),
            ("CreateStack", "AlreadyWeird", "CreateStack with AlreadyWeird"),
        ],
    )
    def test_refusals_of_aws_are_explained(self, cloud: Cloud, operation: str, code: str, says: str):
        cloud.fail(operation, code)
        with pytest.raises(Exception, match=says) as caught:
            bring_up(cloud)
        assert type(caught.value).__module__ == "infra_scripts.common.errors"

    def test_throttled_calls_are_repeated(self, cloud: Cloud):
        cloud.fail("DescribeVpcs", "RequestLimitExceeded", status=503, times=2)
        assert bring_up(cloud).change is Change.CREATED

    def test_missing_credentials_are_reported(self, aws_environment: str, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        with pytest.raises(AccessError, match="Sign in"):
            up(connect(), pool(), print, poll_seconds=POLL)

    def test_a_missing_region_is_reported(self, aws_environment: str, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.delenv("AWS_REGION")
        monkeypatch.delenv("AWS_DEFAULT_REGION")
        with pytest.raises(AccessError, match="HEARTH_EC2__REGION"):
            connect()

    def test_the_region_is_read_from_either_variable(self, aws_environment: str, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.delenv("AWS_DEFAULT_REGION")
        monkeypatch.setenv("AWS_REGION", "eu-west-1")
        assert connect().region == "eu-west-1"
        monkeypatch.delenv("AWS_REGION")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-3")
        assert connect().region == "eu-west-3"

    def test_a_server_that_is_not_aws_is_reported(self, aws_environment: str, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as other:  # a page of HTML, and 501
            threading.Thread(target=other.serve_forever, args=(0.02,), daemon=True).start()
            monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{other.server_address[1]}")
            with pytest.raises(AccessError, match="response is not one of AWS"):
                down(connect(), "default", print)
            other.shutdown()

    def test_a_missing_connection_is_reported(self, aws_environment: str, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        with pytest.raises(AccessError, match="cannot be reached"):
            down(connect(), "default", print)

    def test_a_failed_stack_shows_its_first_failure(self, cloud: Cloud):
        bring_up(cloud)

        def failed(parsed: dict[str, list[dict[str, str]]], **_: object) -> None:
            # SCRIPTED: moto never fails a resource.
            for stack in parsed.get("Stacks", []):
                stack["StackStatus"] = "UPDATE_ROLLBACK_COMPLETE"

        def events(parsed: dict[str, list[dict[str, str]]], **_: object) -> None:
            reason = {"ResourceStatus": "UPDATE_FAILED", "ResourceStatusReason": "The name is taken."}
            parsed["StackEvents"].insert(0, {"EventId": "f", "LogicalResourceId": "Role", **reason})

        cloud.on("after-call", "DescribeStacks", failed)
        cloud.on("after-call", "DescribeStackEvents", events)
        with pytest.raises(StackError, match="Role failed, The name is taken"):
            bring_up(cloud, slots=3)
