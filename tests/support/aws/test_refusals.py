"""Stacks that AWS refuses fail here as they do there; each is provoked by the product's own code."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from botocore.exceptions import ClientError

from infra_scripts.common.clients import Aws, connect
from infra_scripts.common.cloudformation import Change, Stack
from infra_scripts.common.deployment import StackRequest
from infra_scripts.common.errors import StackError
from tests.support.aws.front import AwsFront
from tests.support.aws.refusals import OCI_INDEX, Refusals
from tests.support.aws.templates import Asked, Resource
from tests.support.aws.wire import REGION

pytestmark = pytest.mark.long("tests the harness")

IMAGE = f"123456789012.dkr.ecr.{REGION}.amazonaws.com/hearth:1"
DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
ROLE = "arn:aws:iam::123456789012:role/x"
Bring = Callable[..., Change]


@pytest.fixture
def deployer(aws: AwsFront) -> Aws:
    return connect(REGION)


@pytest.fixture
def bring(deployer: Aws) -> Bring:
    """Bring a stack of some resources up, as the product does."""

    def made(resources: dict[str, object], name: str = "hearth-x", **declared: object) -> Change:
        body = json.dumps({"Resources": resources, **declared})
        return Stack(deployer, name, lambda _: None, poll_seconds=0.02).deploy(
            StackRequest(body, {}, {"hearth:pool": "x"})
        )

    return made


def group(description: str = "fine") -> dict[str, object]:
    return {"Group": {"Type": "AWS::EC2::SecurityGroup", "Properties": {"GroupDescription": description}}}


def resource(kind: str, **properties: object) -> dict[str, object]:
    return {"It": {"Type": kind, "Properties": properties}}


def why(bring: Bring, resources: dict[str, object], **declared: object) -> str:
    with pytest.raises(StackError) as caught:
        bring(resources, **declared)
    return str(caught.value)


def test_an_apostrophe_in_a_group_s_description_rolls_the_stack_back(bring: Bring):
    told = why(bring, group("Hearth's machines"))
    assert "ended in ROLLBACK_COMPLETE: Group failed, Invalid security group description." in told


def test_a_stack_that_was_rolled_back_is_made_anew(bring: Bring):
    why(bring, group("Hearth's machines"))
    assert bring(group()) is Change.CREATED


def test_an_update_that_is_refused_leaves_what_was_there(bring: Bring, deployer: Aws):
    bring(group())
    assert "UPDATE_ROLLBACK_COMPLETE" in why(bring, group("it's"))
    (found,) = deployer.ec2.describe_security_groups(Filters=[{"Name": "description", "Values": ["fine"]}])[
        "SecurityGroups"
    ]
    assert found["Description"] == "fine"


def test_tags_without_their_permission_fail_the_resource(aws: AwsFront, bring: Bring):
    aws.account.policies = [
        {"Statement": [{"Effect": "Allow", "Action": "*"}, {"Effect": "Deny", "Action": "logs:TagResource"}]}
    ]
    told = why(bring, resource("AWS::Logs::LogGroup", LogGroupName="/hearth/x"))
    assert "not authorized to perform: logs:TagResource" in told
    assert "UnauthorizedTaggingOperation" in told


def test_a_call_that_no_policy_allows_is_denied(aws: AwsFront, deployer: Aws):
    aws.account.policies = [{"Statement": {"Effect": "Allow", "Action": ["ec2:Describe*"]}}]
    deployer.ec2.describe_vpcs()
    with pytest.raises(ClientError, match="UnauthorizedOperation"):
        deployer.ec2.create_vpc(CidrBlock="10.0.0.0/16")


def test_a_new_account_cannot_reserve_functions(aws: AwsFront, bring: Bring):
    aws.account.functions = 10
    reserving = resource("AWS::Lambda::Function", FunctionName="x", ReservedConcurrentExecutions=2)
    assert "below its minimum value of [10]" in why(bring, reserving)


async def test_an_account_of_the_usual_size_can(aws: AwsFront):
    function = Resource("It", "AWS::Lambda::Function", {"ReservedConcurrentExecutions": 2})
    asked = Asked("hearth-x", tagged=False, resources=(function,), parameters={})
    assert await Refusals(aws.account, aws.behind).of(asked) is None


def test_without_its_service_linked_role_a_cluster_is_not_made(aws: AwsFront, bring: Bring):
    aws.account.linked_roles = False
    cluster = resource("AWS::ECS::Cluster", ClusterName="hearth-x")
    assert "verify that the ecs service linked role exists" in why(bring, cluster)
    aws.client("iam").create_service_linked_role(AWSServiceName="ecs.amazonaws.com")
    assert bring(cluster) is Change.CREATED


@pytest.mark.parametrize(("media_type", "fails"), [(OCI_INDEX, True), (DOCKER, False)])
def test_sagemaker_takes_no_image_index(aws: AwsFront, bring: Bring, media_type: str, fails: bool):
    ecr = aws.client("ecr")
    ecr.create_repository(repositoryName="hearth")
    manifest = {"schemaVersion": 2, "mediaType": media_type, "config": {"size": 5}, "layers": [], "manifests": []}
    ecr.put_image(repositoryName="hearth", imageManifest=json.dumps(manifest), imageTag="1")
    model = resource("AWS::SageMaker::Model", PrimaryContainer={"Image": IMAGE}, ExecutionRoleArn=ROLE)
    if fails:
        assert f"Unsupported manifest media type {OCI_INDEX}" in why(bring, model)
    else:
        bring(model)


def test_an_image_that_was_never_pushed_is_not_found(bring: Bring):
    assert f"Requested image {IMAGE} not found" in why(
        bring, resource("AWS::SageMaker::Model", PrimaryContainer={"Image": IMAGE})
    )


def test_a_parameter_that_does_not_exist_is_not_fetched(bring: Bring):
    kind = "AWS::SSM::Parameter::Value<AWS::EC2::Image::Id>"
    with pytest.raises(ClientError, match=r"Unable to fetch parameters \[/none\]"):
        bring(group(), Parameters={"Ami": {"Type": kind, "Default": "/none"}})


def test_a_group_that_a_machine_has_is_not_deleted_until_the_machine_is_gone(
    aws: AwsFront, bring: Bring, deployer: Aws
):
    bring(group())
    stack = Stack(deployer, "hearth-x", lambda _: None, poll_seconds=0.02)
    (found,) = deployer.cloudformation.list_stack_resources(StackName="hearth-x")["StackResourceSummaries"]
    held = found["PhysicalResourceId"]
    image = aws.behind("ec2").register_image(Name="image", Architecture="x86_64")["ImageId"]
    one = {"ImageId": image, "InstanceType": "g4dn.xlarge", "MinCount": 1, "MaxCount": 1, "SecurityGroupIds": [held]}
    machine = deployer.ec2.run_instances(**one)["Instances"][0]["InstanceId"]  # type: ignore[arg-type]

    with pytest.raises(StackError, match=f"is in DELETE_FAILED: Group failed, resource {held} has a dependent object"):
        stack.delete()
    with pytest.raises(ClientError, match="DependencyViolation"):
        deployer.ec2.delete_security_group(GroupId=held)
    aws.takes(shutting_down=3600)
    deployer.ec2.terminate_instances(InstanceIds=[machine])
    with pytest.raises(StackError, match="dependent object"):
        stack.delete()
    aws.lifecycle.settle()
    stack.delete()
    assert stack.describe() is None


@pytest.mark.parametrize(("tagging", "refused"), [(False, True), (True, False)])
def test_a_task_with_tags_wants_the_permission_to_tag(aws: AwsFront, tagging: bool, refused: bool):
    actions = ["ecs:RunTask", *(["ecs:TagResource"] if tagging else [])]
    aws.account.policies = [{"Statement": [{"Effect": "Allow", "Action": actions}]}]
    with pytest.raises(ClientError) as caught:
        aws.client("ecs").run_task(taskDefinition="x", propagateTags="TASK_DEFINITION")
    code = caught.value.response["Error"]["Code"]
    assert (code == "AccessDeniedException") == refused
