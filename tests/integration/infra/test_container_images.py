"""Images are checked in ECR before anything that needs them is created."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from flows.stacks.registry import StackName, open_deployment
from infra_scripts.common.container_images import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    ECS_MEDIA_TYPES,
    OCI_INDEX,
    OCI_MANIFEST,
    SAGEMAKER_MEDIA_TYPES,
    check_image,
    find_image,
    parse_image,
)
from infra_scripts.common.deployment import Options
from infra_scripts.common.errors import AccessError, RequestError
from infra_scripts.ecs import deploy as ecs
from infra_scripts.ecs.service import stack_name
from infra_scripts.sagemaker import deploy as sagemaker
from infra_scripts.trigger import deploy as trigger
from tasks.settings.ecs import EcsStackSettings
from tasks.settings.settings import Settings
from tasks.settings.trigger import TriggerSettings
from tests.support.infra.container_images import push_image
from tests.support.infra.endpoints import IMAGE, endpoint, for_moto
from tests.support.infra.fixtures import Cloud
from tests.support.infra.services import AMI_PARAMETER, service

pytestmark = pytest.mark.long("stacks with an image in each state: 10 s in all")

POLL = 0.02
REPOSITORY = "123456789012.dkr.ecr.us-east-1.amazonaws.com/hearth"
DIGEST = f"sha256:{'a' * 64}"


class TestNames:
    @pytest.mark.parametrize(
        ("name", "repository", "reference"),
        [
            (f"{REPOSITORY}:1", "hearth", "1"),
            (f"{REPOSITORY}@{DIGEST}", "hearth", DIGEST),
            (f"{REPOSITORY}:1@{DIGEST}", "hearth", DIGEST),
            (REPOSITORY, "hearth", "latest"),
            ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/team/hearth:1", "team/hearth", "1"),
        ],
    )
    def test_a_name_in_ecr_has_a_repository_and_a_tag_or_digest(self, name: str, repository: str, reference: str):
        image = parse_image(name)
        assert image is not None
        assert (image.account, image.repository, image.reference) == ("123456789012", repository, reference)

    @pytest.mark.parametrize("name", ["python:3.12", "ghcr.io/owner/hearth:1", "public.ecr.aws/x/hearth:1", ""])
    def test_an_image_of_another_registry_is_not_checked(self, cloud: Cloud, name: str):
        assert check_image(cloud.aws, name, ECS_MEDIA_TYPES) is None


class TestManifests:
    def test_an_existing_image_is_found_with_its_media_type(self, cloud: Cloud):
        push_image(IMAGE)
        found = check_image(cloud.aws, IMAGE, SAGEMAKER_MEDIA_TYPES)
        assert found is not None
        assert found.media_type == DOCKER_MANIFEST
        image = parse_image(f"{REPOSITORY}@{found.digest}")
        assert image is not None
        assert find_image(cloud.aws, image) == found

    @pytest.mark.parametrize("media_type", [OCI_MANIFEST, OCI_INDEX, DOCKER_LIST])
    def test_sagemaker_accepts_only_dockers_single_manifest_and_ecs_all(self, cloud: Cloud, media_type: str):
        push_image(IMAGE, media_type)
        with pytest.raises(RequestError, match=r"hearth:1 has the type .*push_image\.sh") as error:
            check_image(cloud.aws, IMAGE, SAGEMAKER_MEDIA_TYPES)
        assert media_type in str(error.value)
        assert check_image(cloud.aws, IMAGE, ECS_MEDIA_TYPES) is not None

    @pytest.mark.parametrize("there", ["nothing", "the repository", "another tag"])
    def test_a_missing_image_is_named_with_the_command_that_builds_it(self, cloud: Cloud, there: str):
        if there != "nothing":
            cloud.aws.session.client("ecr").create_repository(repositoryName="hearth")
        if there == "another tag":
            push_image(f"{REPOSITORY}:2")
        with pytest.raises(RequestError, match=r"hearth:1 does not exist in ECR.*push_image\.sh"):
            check_image(cloud.aws, IMAGE, ECS_MEDIA_TYPES)


class TestSagemaker:
    @pytest.fixture(autouse=True)
    def on_moto(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sagemaker, "template", for_moto)

    @pytest.mark.parametrize("media_type", [None, OCI_INDEX, OCI_MANIFEST])
    def test_with_an_image_that_sagemaker_refuses_no_stack_is_created(self, cloud: Cloud, media_type: str | None):
        if media_type is not None:
            push_image(IMAGE, media_type)
        with pytest.raises(RequestError):
            sagemaker.up(cloud.aws, endpoint(), cloud.listen, poll_seconds=POLL)
        assert ("cloudformation", "CreateStack") not in cloud.calls

    def test_with_an_image_of_another_region_no_stack_is_created(self, cloud: Cloud):
        elsewhere = IMAGE.replace("us-east-1", "eu-west-1")
        push_image(elsewhere)
        with pytest.raises(RequestError, match="not in ECR in us-east-1"):
            sagemaker.up(cloud.aws, endpoint(image=elsewhere), cloud.listen, poll_seconds=POLL)
        assert ("cloudformation", "CreateStack") not in cloud.calls

    def test_a_missing_permission_to_check_is_named(self, cloud: Cloud, monkeypatch: pytest.MonkeyPatch):
        def denied(*_: object) -> None:
            raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "DescribeImages")

        monkeypatch.setattr("infra_scripts.common.container_images.find_image", denied)
        with pytest.raises(AccessError, match="DescribeImages"):
            sagemaker.up(cloud.aws, endpoint(), cloud.listen, poll_seconds=POLL)
        assert ("cloudformation", "CreateStack") not in cloud.calls


class TestTrigger:
    def test_with_a_missing_image_of_a_task_no_stack_is_created(self, cloud: Cloud):
        settings = Settings(output="s3://inbox/results", trigger=TriggerSettings(bucket="inbox", image=IMAGE))
        stack = open_deployment(StackName.LAMBDA, settings, Options(), "us-east-1")
        with pytest.raises(RequestError, match="does not exist in ECR"):
            trigger.up(cloud.aws, stack.stack(), cloud.listen, poll_seconds=POLL)  # type: ignore[attr-defined]
        assert ("cloudformation", "CreateStack") not in cloud.calls


class TestEcs:
    """The stack makes the repository, so that the first `up` finds no image."""

    def image(self) -> str:
        return f"123456789012.dkr.ecr.us-east-1.amazonaws.com/{stack_name('default')}:{service().image_tag}"

    def told(self, cloud: Cloud) -> str:
        ecs_stack = EcsStackSettings(types=("g4dn.xlarge", "g5.xlarge"), ami_parameter=AMI_PARAMETER)
        settings = Settings(ecs_stack=ecs_stack)
        deployed = open_deployment(StackName.ECS, settings, Options(allow_from=("10.20.0.0/16",)), "us-east-1")
        return "\n".join(deployed.up(cloud.aws, cloud.listen))

    def test_the_build_command_is_shown_until_the_image_exists(self, cloud: Cloud):
        first = self.told(cloud)
        assert f"{self.image()} does not exist in ECR" in first
        assert f"ecs/build.sh {self.image()} qwen2.5vl:7b 0.33.0" in first
        push_image(self.image())
        assert "build.sh" not in self.told(cloud)

    def test_running_tasks_are_not_replaced_if_the_new_image_is_missing(self, cloud: Cloud):
        ecs.up(cloud.aws, service(), cloud.listen, poll_seconds=POLL)
        client = cloud.aws.session.client("ecs", config=cloud.aws.config)
        client.update_service(cluster="hearth-ecs-default", service="hearth-ecs-default", desiredCount=1)
        with pytest.raises(RequestError, match="does not exist in ECR"):
            ecs.up(cloud.aws, service(slots=2), cloud.listen, poll_seconds=POLL)
        assert ("cloudformation", "UpdateStack") not in cloud.calls
        push_image(self.image())
        ecs.up(cloud.aws, service(slots=2), cloud.listen, poll_seconds=POLL)
        assert ("cloudformation", "UpdateStack") in cloud.calls
