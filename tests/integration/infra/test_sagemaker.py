"""The SageMaker stack, created and removed on moto's server."""

from __future__ import annotations

import json
import time
from typing import Any

import boto3
import pytest
from typer.testing import CliRunner

from flows.cli.infra import infra
from flows.stacks.registry import StackName, open_deployment
from infra_scripts.common.cloudformation import Change, Stack
from infra_scripts.common.deployment import Options
from infra_scripts.common.errors import InUseError, LeftoverError, RequestError
from infra_scripts.common.policy import PolicyName, policy
from infra_scripts.sagemaker import deploy
from infra_scripts.sagemaker.endpoint import SagemakerStack
from tasks.settings.settings import load_settings
from tests.integration.infra.sagemaker_stacks import ASYNC, EITHER, REALTIME
from tests.integration.infra.test_policies import allows
from tests.support.infra.container_images import push_image
from tests.support.infra.endpoints import IMAGE, for_moto
from tests.support.infra.fixtures import Cloud

pytestmark = pytest.mark.long("a stack for each test; the template's own test is short: 12 s in all")

POLL = 0.02


@pytest.fixture
def on_moto(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    monkeypatch.setattr(deploy, "template", for_moto)
    push_image(IMAGE)
    return cloud


class TestOnMoto:
    @EITHER
    def test_the_outputs_contain_everything_that_runs_need(self, on_moto: Cloud, stack: SagemakerStack):
        assert deploy.up(on_moto.aws, stack, on_moto.listen, poll_seconds=POLL) is Change.CREATED
        found = on_moto.aws.cloudformation.describe_stacks(StackName=stack.name)["Stacks"][0]["Outputs"]
        outputs = {one["OutputKey"]: one["OutputValue"] for one in found}
        expected = {"EndpointName", "Serving", "Models", "TableName", "InstanceType", "Slots", "MinCopies"}
        assert set(outputs) == expected | ({"BucketName"} if stack.serving == "async" else set())
        assert json.loads(outputs["Models"]) == stack.components

    def test_a_second_up_changes_nothing(self, on_moto: Cloud):
        deploy.up(on_moto.aws, ASYNC, on_moto.listen, poll_seconds=POLL)
        assert deploy.up(on_moto.aws, ASYNC, on_moto.listen, poll_seconds=POLL) is Change.UNCHANGED

    def test_an_endpoint_of_the_other_kind_must_be_removed_first(self, on_moto: Cloud):
        deploy.up(on_moto.aws, ASYNC, on_moto.listen, poll_seconds=POLL)
        with pytest.raises(RequestError, match="is async, and SageMaker cannot change it to realtime"):
            deploy.up(on_moto.aws, REALTIME, on_moto.listen, poll_seconds=POLL)

    def test_down_leaves_nothing_not_even_a_full_bucket(self, on_moto: Cloud):
        deploy.up(on_moto.aws, ASYNC, on_moto.listen, poll_seconds=POLL)
        s3 = on_moto.aws.session.client("s3", config=on_moto.aws.config)
        (bucket,) = (one["Name"] for one in s3.list_buckets()["Buckets"])
        s3.put_object(Bucket=bucket, Key="requests/left.json", Body=b"{}")
        deploy.down(on_moto.aws, "default", on_moto.listen, poll_seconds=POLL)
        assert s3.list_buckets()["Buckets"] == []
        assert on_moto.aws.session.client("sagemaker", config=on_moto.aws.config).list_endpoints()["Endpoints"] == []
        deploy.down(on_moto.aws, "default", on_moto.listen, poll_seconds=POLL)  # once more is no error

    def test_an_endpoint_in_use_is_removed_only_with_force(self, on_moto: Cloud):
        deploy.up(on_moto.aws, ASYNC, on_moto.listen, poll_seconds=POLL)
        dynamodb = on_moto.aws.session.client("dynamodb", config=on_moto.aws.config)

        def claim(name: str, ends_at: float) -> None:
            ledger = json.dumps({"claims": {name: {"wants": 1, "ends_at": ends_at, "came_at": 0}}})
            item = {"id": {"S": f"slots#{name}"}, "ledger": {"S": ledger}}
            dynamodb.put_item(TableName="hearth-sagemaker-default", Item=item)

        claim("ended", time.time() - 1)
        claim("live", time.time() + 100)
        with pytest.raises(InUseError, match="1 run holds slots of the endpoint hearth-default"):
            deploy.down(on_moto.aws, "default", on_moto.listen, poll_seconds=POLL)
        deploy.down(on_moto.aws, "default", on_moto.listen, force=True, poll_seconds=POLL)

    def test_a_leftover_endpoint_is_named_with_its_state(self, on_moto: Cloud, monkeypatch: pytest.MonkeyPatch):
        deploy.up(on_moto.aws, ASYNC, on_moto.listen, poll_seconds=POLL)
        found = {"EndpointStatus": "InService"}
        monkeypatch.setattr(deploy, "find_endpoint", lambda *_: found)  # SCRIPTED: moto deletes at once
        with pytest.raises(LeftoverError, match=r"InService.*cost money") as error:
            deploy.down(on_moto.aws, "default", on_moto.listen, poll_seconds=POLL)
        assert error.value.left == ("endpoint hearth-default (InService), whose instances cost money",)

    def test_the_deployers_policy_allows_every_call(self, on_moto: Cloud):
        actions = {"s3:ListObjectsV2": "s3:ListBucket", "s3:HeadBucket": "s3:ListBucket"}
        actions["s3:DeleteObjects"] = "s3:DeleteObject"
        asked = set()

        def record(model: Any, **_: object) -> None:
            asked.add(f"{model.service_model.service_name}:{model.name}")

        on_moto.aws.session.events.register("before-call", record)
        try:
            deploy.up(on_moto.aws, ASYNC, on_moto.listen, poll_seconds=POLL)
            bucket = Stack(on_moto.aws, ASYNC.name, on_moto.listen).outputs()["BucketName"]
            s3 = boto3.client("s3")
            s3.put_object(Bucket=bucket, Key="requests/left.json", Body=b"{}")
            deploy.status(on_moto.aws, "default")
            deploy.down(on_moto.aws, "default", on_moto.listen, poll_seconds=POLL)
        finally:
            on_moto.aws.session.events.unregister("before-call", record)
        asked |= {f"{service}:{name}" for service, name in on_moto.calls}
        document = policy(
            PolicyName.DEPLOYER, pool="default", account="123456789012", region="us-east-1", stack="sagemaker"
        )
        assert asked >= {"s3:DeleteObjects", "dynamodb:Scan", "sagemaker:DescribeEndpoint"}
        assert {call for call in asked if not allows(document, actions.get(call, call))} == set()


class TestCommands:
    def test_up_shows_the_costs_and_asks_and_status_and_down_work(
        self, on_moto: Cloud, monkeypatch: pytest.MonkeyPatch
    ):
        def run(*arguments: str, answer: str = "") -> Any:
            return CliRunner().invoke(infra, list(arguments), input=answer)

        monkeypatch.setattr("infra_scripts.common.clients.connect", lambda _: on_moto.aws)
        monkeypatch.setenv("HEARTH_SAGEMAKER_STACK__IMAGE", IMAGE)
        monkeypatch.setenv("HEARTH_SAGEMAKER_STACK__MIN_COPIES", "1")
        refused = run("up", "sagemaker", answer="n\n")
        assert refused.exit_code == 1
        assert "USD 17.67 a day" in refused.output
        assert "hearth-sagemaker-default in us-east-1: not deployed" in run("status", "sagemaker").output
        assert run("up", "sagemaker", answer="y\n").exit_code == 0
        told = json.loads(run("status", "sagemaker", "--json").output)["sagemaker"]
        assert (told["state"], told["instances"]) == ("CREATE_COMPLETE", "1 x ml.g4dn.xlarge at USD 0.74 an hour")
        done = run("down", "sagemaker", "--yes")
        assert done.exit_code == 0, done.output
        assert "is gone" in done.output

    def test_without_an_image_up_names_the_documentation(self):
        deployment = open_deployment(StackName.SAGEMAKER, load_settings(), Options(), "us-east-1")
        with pytest.raises(RequestError, match=r"docs/how-to/sagemaker\.md"):
            deployment.plan()
