"""An image is baked, and its machine is ended whatever fails. On moto's server; a thread plays the machine."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from infra_scripts.common.cloudformation import Change
from infra_scripts.common.errors import BakeError, RequestError
from infra_scripts.ec2.bake import bake
from infra_scripts.ec2.baker import Bake
from infra_scripts.ec2.deploy import BASE_TAG, down, up
from infra_scripts.ec2.user_data import config_digest
from tests.support.infra.fixtures import BASE_PARAMETER, Cloud
from tests.support.infra.pools import pool
from tests.support.waiting import until

pytestmark = pytest.mark.long("deploys a pool and bakes an image for each test: 1 to 3 s")

POLL = 0.02


def how(**changed: object) -> Bake:
    values = {
        "pool": "default", "types": ("g4dn.xlarge",), "base_ami_parameter": BASE_PARAMETER,
        "serving_seconds": 36_000, "poll_seconds": POLL, **changed,
    }  # fmt: skip
    return Bake(**values)  # type: ignore[arg-type]  # a dictionary of all kinds


def bakers(cloud: Cloud) -> list[str]:
    """Every machine that ever baked for the pool."""
    found = cloud.aws.ec2.describe_instances(Filters=[{"Name": "tag:hearth:bake", "Values": ["default"]}])
    return [one["InstanceId"] for reservation in found["Reservations"] for one in reservation["Instances"]]


@contextmanager
def machine_says(cloud: Cloud, *stages: str) -> Iterator[None]:
    """SIMULATED: what the machine's boot script would write into its tag."""
    ending = threading.Event()

    def play() -> None:
        while not ending.wait(0.02):
            for machine in bakers(cloud):
                if cloud.state(machine) != "running":
                    continue
                for stage in stages:
                    cloud.aws.ec2.create_tags(Resources=[machine], Tags=[{"Key": "hearth:stage", "Value": stage}])
                    until(lambda said=f"{machine}: {stage}": said in cloud.told or ending.is_set())
                return

    thread = threading.Thread(target=play)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()


@pytest.fixture
def deployed(cloud: Cloud) -> Cloud:
    up(cloud.aws, pool(), cloud.listen, poll_seconds=POLL)
    return cloud


def baked(cloud: Cloud) -> str:
    with machine_says(cloud, "installing Ollama 0.33.0", "serving"):
        return bake(cloud.aws, how(), cloud.listen)


class TestBaking:
    @pytest.mark.always
    def test_the_pool_launches_from_the_image_and_the_machine_is_ended(self, deployed: Cloud):
        image = baked(deployed)
        assert deployed.parameter("/hearth/default/ami") == image
        (machine,) = bakers(deployed)
        assert deployed.state(machine) == "terminated"
        assert any("installing Ollama" in text for text in deployed.told)

    def test_the_image_is_tagged_with_its_pool_settings_and_base(self, deployed: Cloud):
        (image,) = deployed.aws.ec2.describe_images(ImageIds=[baked(deployed)])["Images"]
        tags = {tag["Key"]: tag["Value"] for tag in image["Tags"]}
        assert tags["hearth:pool"] == "default"
        assert tags["hearth:config"] == config_digest(pool())
        assert tags[BASE_TAG] == BASE_PARAMETER

    def test_the_machine_is_never_part_of_the_pool(self, deployed: Cloud):
        seen: list[str] = []

        def launched(parsed: dict[str, list[dict[str, list[dict[str, str]]]]], **_: object) -> None:
            for one in parsed.get("Instances", []):
                seen.extend(tag["Value"] for tag in one.get("Tags", []) if tag["Key"] == "hearth:pool")

        deployed.on("after-call", "RunInstances", launched)
        baked(deployed)
        assert seen in ([], [""])
        filters = [{"Name": "tag-key", "Values": ["hearth:pool"]}]
        assert deployed.aws.ec2.describe_instances(Filters=filters)["Reservations"] == []  # type: ignore[arg-type]

    def test_up_keeps_the_baked_image(self, deployed: Cloud):
        image = baked(deployed)
        up(deployed.aws, pool(slots=4), deployed.listen, poll_seconds=POLL)
        assert deployed.parameter("/hearth/default/ami") == image
        assert any("slower until the next bake" in text for text in deployed.told)

    def test_up_replaces_the_baked_image_if_the_base_changes(self, deployed: Cloud):
        baked(deployed)
        base = deployed.parameter(BASE_PARAMETER)
        assert base
        deployed.aws.ssm.put_parameter(Name="/other/base", Value=base, Type="String")
        assert (
            up(deployed.aws, pool(base_ami_parameter="/other/base"), deployed.listen, poll_seconds=POLL).change
            is Change.UPDATED
        )
        assert deployed.parameter("/hearth/default/ami") == base

    def test_the_earlier_image_and_its_snapshots_are_deleted(self, deployed: Cloud):
        first = baked(deployed)
        second = baked(deployed)
        assert deployed.own_images() == [second]
        assert first != second
        told = " ".join(deployed.told)
        assert f"image {first} snap-" in told

    def test_down_keeps_images_and_deletes_them_on_request(self, deployed: Cloud):
        image = baked(deployed)
        assert f"image {image}" in down(deployed.aws, "default", deployed.listen, poll_seconds=POLL).kept
        assert down(deployed.aws, "default", deployed.listen, with_images=True, poll_seconds=POLL).kept == ()
        assert deployed.own_images() == []


class TestFailing:
    def check_nothing_came_of_it(self, cloud: Cloud) -> None:
        assert all(cloud.state(machine) == "terminated" for machine in bakers(cloud))
        assert cloud.parameter("/hearth/default/ami") == cloud.parameter(BASE_PARAMETER)
        assert cloud.own_images() == []

    def test_a_machine_that_reports_a_failure_is_ended_and_its_log_shown(self, deployed: Cloud):
        def log(text: str) -> None:
            """What the machine has logged by the time that it says what it does."""
            deployed.listen(text)
            if text.endswith(": installing it"):
                place = {"logGroupName": "/hearth/default", "logStreamName": bakers(deployed)[0]}
                deployed.aws.logs.create_log_stream(**place)  # type: ignore[arg-type]
                event = {"timestamp": int(time.time() * 1000), "message": "no space left on device"}
                deployed.aws.logs.put_log_events(**place, logEvents=[event])  # type: ignore[arg-type]

        says = machine_says(deployed, "installing it", "failed: pulling it")
        with says, pytest.raises(BakeError, match="failed: pulling") as caught:
            bake(deployed.aws, how(), log)
        assert "no space left on device" in str(caught.value)
        self.check_nothing_came_of_it(deployed)

    def test_a_machine_that_never_serves_is_ended_at_the_deadline(self, deployed: Cloud):
        with pytest.raises(BakeError, match="did not serve"):
            bake(deployed.aws, how(serving_seconds=0.3), deployed.listen)
        self.check_nothing_came_of_it(deployed)

    def test_a_machine_that_ends_by_itself_is_reported(self, deployed: Cloud):
        def end() -> None:
            until(lambda: bakers(deployed))
            deployed.aws.ec2.terminate_instances(InstanceIds=bakers(deployed))

        thread = threading.Thread(target=end)
        thread.start()
        with pytest.raises(BakeError, match="is terminated"):
            bake(deployed.aws, how(), deployed.listen)
        thread.join()
        self.check_nothing_came_of_it(deployed)

    @pytest.mark.parametrize("operation", ["DeleteTags", "StopInstances", "CreateImage", "PutParameter"])
    def test_the_machine_is_ended_whatever_call_aws_refuses(self, deployed: Cloud, operation: str):
        deployed.fail(operation, "AccessDenied")
        with machine_says(deployed, "serving"), pytest.raises(Exception, match=operation):
            bake(deployed.aws, how(), deployed.listen)
        self.check_nothing_came_of_it(deployed)

    def test_an_interruption_ends_the_machine(self, deployed: Cloud):
        def interrupted(text: str) -> None:
            if "installing" in text:
                raise KeyboardInterrupt

        with machine_says(deployed, "installing Ollama 0.33.0"), pytest.raises(KeyboardInterrupt):
            bake(deployed.aws, how(), interrupted)
        self.check_nothing_came_of_it(deployed)

    def test_an_interruption_while_the_image_is_created_leaves_no_image(self, deployed: Cloud):
        def interrupted(text: str) -> None:
            if "Stopping" in text:
                deployed.on("after-call", "DescribeImages", stop)

        def stop(**_: object) -> None:
            raise KeyboardInterrupt

        with machine_says(deployed, "serving"), pytest.raises(KeyboardInterrupt):
            bake(deployed.aws, how(), interrupted)
        deployed.forget()
        assert all(deployed.state(machine) == "terminated" for machine in bakers(deployed))

    def test_a_machine_that_cannot_be_ended_is_named(self, deployed: Cloud):
        deployed.fail("TerminateInstances", "AccessDenied")
        with machine_says(deployed, "failed: it"), pytest.raises(BakeError):
            bake(deployed.aws, how(), deployed.listen)
        assert any("hearth:bake=default may still run" in text for text in deployed.told)

    def test_without_capacity_the_next_zone_and_type_are_tried(self, deployed: Cloud):
        # AWS answers 500 here; 400 spares the test botocore's retries.
        deployed.fail("RunInstances", "InsufficientInstanceCapacity", times=1)
        baked(deployed)
        assert any("No capacity: g4dn.xlarge" in text for text in deployed.told)

    def test_without_any_capacity_the_bake_fails(self, deployed: Cloud):
        deployed.fail("RunInstances", "VcpuLimitExceeded")
        with pytest.raises(BakeError, match="EC2 has no capacity"):
            bake(deployed.aws, how(), deployed.listen)

    def test_a_pool_without_a_stack_is_refused(self, cloud: Cloud):
        with pytest.raises(RequestError, match="hearth infra up ec2"):
            bake(cloud.aws, how(), cloud.listen)

    def test_a_simultaneous_second_bake_is_refused(self, deployed: Cloud):
        outputs = up(deployed.aws, pool(), deployed.listen, poll_seconds=POLL).outputs
        tags = [{"ResourceType": "instance", "Tags": [{"Key": "hearth:bake", "Value": "default"}]}]
        machine = deployed.launch(outputs, TagSpecifications=tags)
        with pytest.raises(RequestError, match=machine):
            bake(deployed.aws, how(), deployed.listen)
        assert deployed.state(machine) == "running"
