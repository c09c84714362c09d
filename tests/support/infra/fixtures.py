"""moto's standalone server, over real HTTP, and what it lacks: each gap filled here is labelled."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError

from infra_scripts.common.clients import Aws, connect
from tests.support.aws.moto_server import Moto

REGION = "us-east-1"
BASE_PARAMETER = "/base/ami-id"


@pytest.fixture
def moto_url(moto: Moto) -> str:
    """The address of moto's server, in which nothing was ever made."""
    moto.reset()
    return moto.url


@dataclass
class Cloud:
    """moto, seen through Hearth's own clients."""

    aws: Aws
    calls: set[tuple[str, str]] = field(default_factory=set)
    """Every service and operation that was asked for."""
    told: list[str] = field(default_factory=list)
    _handlers: list[tuple[Any, str, Callable[..., object]]] = field(default_factory=list)

    def listen(self, text: str) -> None:
        self.told.append(text)

    def clients(self) -> list[Any]:
        return [self.aws.ec2, self.aws.ssm, self.aws.cloudformation, self.aws.logs, self.aws.sts]

    def fail(
        self, operation: str, code: str, message: str = "scripted", status: int = 400, *, times: int = 1_000
    ) -> None:
        """SCRIPTED, as moto has no such failures: an operation answers an error so often."""
        left = [times]

        def answer(request: Any, **_: object) -> AWSResponse | None:
            if left[0] <= 0:
                return None
            left[0] -= 1
            return error_response(request.url, code, message, status)

        self.on("before-send", operation, answer)

    def on(self, moment: str, operation: str, handler: Callable[..., object]) -> None:
        """Have a handler called at a moment of an operation, until the test's end."""
        for client in self.clients():
            event = f"{moment}.{client.meta.service_model.service_id.hyphenize()}.{operation}"
            client.meta.events.register(event, handler)
            self._handlers.append((client, event, handler))

    def forget(self) -> None:
        for client, event, handler in self._handlers:
            client.meta.events.unregister(event, handler)

    def base_image(self) -> str:
        """FILLED: moto lacks the Deep Learning AMI and its public parameter; this names an image registered here."""
        ami = self.aws.ec2.register_image(
            Name="base", Architecture="x86_64", RootDeviceName="/dev/sda1", VirtualizationType="hvm"
        )["ImageId"]
        self.aws.ssm.put_parameter(Name=BASE_PARAMETER, Value=ami, Type="String", Overwrite=True)
        return ami

    def own_images(self) -> list[str]:
        """The account's images, the base left out."""
        base = self.parameter(BASE_PARAMETER)
        listed = self.aws.ec2.describe_images(Owners=["self"])["Images"]
        return [image["ImageId"] for image in listed if image["ImageId"] != base]

    def launch(self, outputs: dict[str, str], **changed: Any) -> str:
        """Launch a machine as runs do: from the template, with image and subnet given."""
        ami = self.aws.ssm.get_parameter(Name=outputs["AmiParameter"])["Parameter"]["Value"]
        launched = self.aws.ec2.run_instances(
            LaunchTemplate={
                "LaunchTemplateId": outputs["LaunchTemplateId"],
                "Version": outputs["LaunchTemplateVersion"],
            },
            ImageId=ami,
            InstanceType="g4dn.xlarge",
            SubnetId=outputs["Subnets"].split(",")[0],
            MinCount=1,
            MaxCount=1,
            **changed,
        )
        return launched["Instances"][0]["InstanceId"]

    def state(self, machine: str) -> str:
        found = self.aws.ec2.describe_instances(InstanceIds=[machine])["Reservations"][0]["Instances"][0]
        return str(found["State"]["Name"])

    def parameter(self, name: str) -> str | None:
        try:
            return self.aws.ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"]
        except ClientError:
            return None


def error_response(url: str, code: str, message: str, status: int) -> AWSResponse:
    """An error as AWS's query APIs and JSON APIs both are read."""

    class Raw:
        def stream(self, **_: object) -> Iterator[bytes]:
            yield body.encode()

    body = (
        f"<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>"
        f"<Error><Code>{code}</Code><Message>{message}</Message></Error><RequestID>1</RequestID></Response>"
    )
    return AWSResponse(url, status, {"x-amzn-errortype": code}, Raw())


def _environment(url: str, patch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        patch.delenv(name)
    settings = {
        "AWS_ENDPOINT_URL": url,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    for name, value in settings.items():
        patch.setenv(name, value)


@pytest.fixture
def aws_environment(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    _environment(moto_url, monkeypatch)
    return moto_url


@pytest.fixture(scope="session")
def moto_clients(moto: Moto) -> Aws:
    """Hearth's own clients, made once, as making them takes a second."""
    with pytest.MonkeyPatch.context() as patch:
        _environment(moto.url, patch)
        return connect()


@pytest.fixture
def cloud(aws_environment: str, moto_clients: Aws) -> Iterator[Cloud]:
    made = Cloud(moto_clients)
    last: list[str] = []

    def record(model: Any, **_: object) -> None:
        made.calls.add((model.service_model.service_name, model.name))

    def no_updates(request: Any, **_: object) -> AWSResponse | None:
        """FILLED: moto updates a stack to what it is already; CloudFormation refuses, as answered here."""
        if last and last[-1] == request.body:
            return error_response(request.url, "ValidationError", "No updates are to be performed.", 400)
        last.append(request.body)
        return None

    def first(request: Any, **_: object) -> None:
        last.append(request.body.replace("Action=CreateStack", "Action=UpdateStack"))

    def image_tags_alone(params: dict[str, Any], **_: object) -> None:
        """FILLED: moto's CreateImage knows no tags of snapshots and crashes over them; AWS sets them."""
        asked = {specification["ResourceType"] for specification in params["TagSpecifications"]}
        assert asked == {"image", "snapshot"}
        params["TagSpecifications"] = params["TagSpecifications"][:1]

    made.on("provide-client-params", "CreateImage", image_tags_alone)
    made.on("before-call", "*", record)
    made.on("before-send", "UpdateStack", no_updates)
    made.on("before-send", "CreateStack", first)
    made.base_image()
    made.calls.clear()
    yield made
    made.forget()
