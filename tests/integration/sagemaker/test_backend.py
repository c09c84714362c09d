"""The SageMaker backend: an endpoint acquired, followed and released, on moto and SIMULATED endpoints."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli.main import app
from infra_scripts.common.policy import PolicyName, policy
from tasks.backends.sagemaker.backend import SagemakerBackend
from tasks.core.errors import CapacityError, CloudError, ModelError, ServerError
from tasks.settings.sagemaker import SagemakerSettings, SagemakerStackSettings
from tasks.settings.settings import Settings
from tests.support.aws.container import MODEL, Container, container
from tests.support.aws.endpoints import ANOTHER, COMPONENT, make_endpoint
from tests.support.aws.front import AwsFront
from tests.support.aws.wire import REGION
from tests.support.clock import Clock
from tests.support.waiting import PATIENCE, until_async

pytestmark = pytest.mark.long("starts an endpoint for each test: 1 to 7 s")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    with container(tmp_path_factory.mktemp("container"), engine="echo") as started:
        yield started


@pytest.fixture
def backend(aws: AwsFront) -> Callable[..., SagemakerBackend]:
    """Makes backends with quick polls."""

    def make(start_seconds: float = 36_000, model: str | None = MODEL) -> SagemakerBackend:
        quick = SagemakerSettings(poll_seconds=0.05, follow_seconds=0.05, start_seconds=start_seconds)
        stack = SagemakerStackSettings(slots=2, max_copies=3)
        settings = Settings(model=model, sagemaker=quick, sagemaker_stack=stack)
        return SagemakerBackend(settings.model_copy(update={"ec2": settings.ec2.model_copy(update={"region": REGION})}))

    return make


async def test_runs_share_the_slots_of_all_copies_and_see_the_cost_of_all_instances(
    aws: AwsFront, served: Container, backend: Callable[..., SagemakerBackend]
):
    make_endpoint(aws, served, copies=2)
    made = backend()
    allocation = await made.acquire(made.default_slots, "a test")
    other = await made.acquire(made.default_slots, "another")
    await allocation.ledger.change(lambda ledger: ledger.model_copy(update={"limit": 7}))
    assert (await other.ledger.change(lambda ledger: ledger)).limit == 7
    await made.release(allocation)
    await made.release(other)
    assert made.default_slots == 6
    assert (allocation.endpoint.url, allocation.slots) == (f"sagemaker://{COMPONENT}", 4)
    assert allocation.machine is not None
    assert allocation.machine.kind == "2 x ml.g4dn.xlarge, SageMaker real time"
    assert allocation.machine.usd_per_hour == pytest.approx(2 * 0.7364)
    assert "15 to 25 min after its last request" in (await allocation.lease.status()).ends


async def test_a_missing_instance_is_reported_with_sagemakers_reason(
    aws: AwsFront, served: Container, backend: Callable[..., SagemakerBackend], monkeypatch: pytest.MonkeyPatch
):
    make_endpoint(aws, served, copies=0)
    clock = Clock()
    monkeypatch.setattr("tasks.backends.sagemaker.endpoint.time", clock)
    acquiring = asyncio.create_task(backend(start_seconds=3600).acquire(2, "a test"))
    await until_async(lambda: len(aws.called("InvokeEndpointWithResponseStream")) >= 2)
    assert not acquiring.done()
    clock.advance(3600)
    with pytest.raises(CapacityError, match=r"got no instance within 3600 s: .*no capacity"):
        await acquiring


async def test_another_number_of_copies_has_another_ledger(
    aws: AwsFront, served: Container, backend: Callable[..., SagemakerBackend]
):
    growing = make_endpoint(aws, served)
    made = backend()
    first = await made.acquire(6, "a test")
    growing.copies = 3
    assert await first.interruption.wait_announced() == "the endpoint has 3 copies of the model now, not 1"
    second = await made.acquire(6, "a test")
    assert (first.slots, second.slots, first.interruption.gone) == (2, 6, False)
    for allocation in (first, second):
        await made.release(allocation)


async def test_a_deleted_endpoint_is_lost(aws: AwsFront, served: Container, backend: Callable[..., SagemakerBackend]):
    make_endpoint(aws, served)
    made = backend()
    allocation = await made.acquire(2, "a test")
    aws.behind("sagemaker").delete_endpoint(EndpointName="hearth-default")
    assert await allocation.interruption.wait_gone() == "the SageMaker endpoint was deleted"
    assert "is gone" in (await made.release(allocation)).message


async def test_without_a_stack_the_error_names_the_command_that_deploys_it(backend: Callable[..., SagemakerBackend]):
    with pytest.raises(CloudError, match=r"no stack hearth-sagemaker-default\. Deploy it: hearth infra up sagemaker"):
        await backend().acquire(2, "a test")


@pytest.mark.always
async def test_a_run_calls_the_component_of_its_model(
    aws: AwsFront, served: Container, backend: Callable[..., SagemakerBackend]
):
    make_endpoint(aws, served)
    made = backend()
    allocation = await made.acquire(2, "a test")
    await made.release(allocation)
    asked = {
        call.headers["x-amzn-sagemaker-inference-component"] for call in aws.called("InvokeEndpointWithResponseStream")
    }
    assert asked == {COMPONENT}
    with pytest.raises(CloudError, match=r"no SageMaker endpoint hearth-default-0"):
        await backend(model=ANOTHER).acquire(2, "a test")  # whose component is not simulated


async def test_a_model_that_is_not_served_is_refused_with_the_served_ones(
    aws: AwsFront, served: Container, backend: Callable[..., SagemakerBackend]
):
    make_endpoint(aws, served)
    with pytest.raises(ModelError, match="does not serve 'llava:7b', but gemma3:12b, tesseract:eng"):
        await backend(model="llava:7b").acquire(2, "a test")
    assert aws.called("InvokeEndpointWithResponseStream") == []


async def test_a_failed_endpoint_is_not_waited_for(
    aws: AwsFront, served: Container, backend: Callable[..., SagemakerBackend]
):
    broken = make_endpoint(aws, served, copies=0)
    broken.status = "Failed"
    with pytest.raises(ServerError, match=r"is Failed, and cannot be used: Simulated\. Fix that"):
        await backend().acquire(2, "a test")


@pytest.mark.always
async def test_an_endpoint_that_is_being_created_is_waited_for(
    aws: AwsFront, served: Container, backend: Callable[..., SagemakerBackend]
):
    made = make_endpoint(aws, served)
    made.status = "Creating"
    acquiring = asyncio.create_task(backend().acquire(2, "a test"))
    await until_async(lambda: len(aws.called("DescribeEndpoint")) >= 3)
    assert aws.called("InvokeEndpointWithResponseStream") == []
    made.status = "InService"
    allocation = await acquiring
    assert allocation.lease is not None
    allocation.lease.release()


@pytest.mark.parametrize("queued", [False, True], ids=["real time", "queued"])
async def test_the_callers_policy_allows_every_call_of_a_run(
    aws: AwsFront, served: Container, backend: Callable[..., SagemakerBackend], queued: bool
):
    make_endpoint(aws, served, queued=queued)
    made = backend()
    allocation = await made.acquire(2, "a test")
    await allocation.ledger.change(lambda ledger: ledger.model_copy(update={"limit": 2}))
    async with allocation.endpoint.client(PATIENCE) as client:
        assert await client.version()
    await made.release(allocation)
    named = {"s3:GET": "s3:GetObject", "s3:PUT": "s3:PutObject", "s3:POST": "s3:DeleteObject"}
    asked = {f"{call.service}:{call.action}" for call in aws.calls}
    document = policy(PolicyName.CALLER, pool="default", account="123456789012", region=REGION, stack="sagemaker")
    allowed = {action for statement in document["Statement"] for action in statement["Action"]}
    assert {named.get(call, call) for call in asked} <= allowed
    assert "sagemaker:InvokeEndpointAsync" in asked if queued else "sagemaker:InvokeEndpointWithResponseStream" in asked


def test_status_shows_copies_and_their_costs(
    aws: AwsFront, served: Container, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    make_endpoint(aws, served, copies=2, queued=True)
    monkeypatch.setenv("HEARTH_BACKEND", "sagemaker")
    monkeypatch.setenv("HEARTH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HEARTH_EC2__REGION", REGION)
    shown = CliRunner().invoke(app, ["status"])
    assert shown.exit_code == 0, shown.output
    assert f"2 of {MODEL}; 2 x ml.g4dn.xlarge paid for, USD 1.47 an hour; has no instance any more" in shown.output
    facts = json.loads(CliRunner().invoke(app, ["status", "--json"]).output)["service"]
    assert (facts["name"], facts["instances"]) == ("hearth-default", 2)
