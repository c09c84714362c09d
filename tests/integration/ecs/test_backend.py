"""The ECS backend requests tasks, uses and releases them; on moto, with targets that stand for warm tasks."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli.main import app
from tasks.aws.client import Aws
from tasks.backends.ecs.backend import EcsBackend
from tasks.backends.ecs.service import SERVICE
from tasks.backends.ecs.status import service_status, stop_tasks
from tasks.core.errors import CapacityError, CloudError, InputError, ModelError
from tasks.inference.schema import GenerateRequest
from tasks.leasing.leases import Records
from tasks.leasing.table import Table
from tasks.settings.ecs import EcsSettings
from tasks.settings.settings import Settings
from tests.support.aws.front import AwsFront
from tests.support.ecs.balancer import Balancer
from tests.support.ecs.world import SLOTS, TABLE, World
from tests.support.waiting import PATIENCE, until_async

pytestmark = pytest.mark.long("starts tasks for each test: 1 to 5 s")

SETTINGS = Settings(
    ecs=EcsSettings(poll_seconds=0.05, start_seconds=36_000, lease_seconds=36_000, gone_seconds=36_000)  # type: ignore[call-arg]
)


@pytest.fixture
def service(aws: AwsFront, tmp_path: Path) -> Iterator[World]:
    """A service whose tasks are targets that a test registers; nothing runs."""
    world = World(aws, Balancer("http://127.0.0.1:9"), tmp_path)
    world.make()
    return world


def warm(service: World, *names: str) -> None:
    """Have so many tasks warm: moto takes what is registered for healthy."""
    elb = service.aws.behind("elbv2")
    told = elb.describe_target_health(TargetGroupArn=service.target_group)["TargetHealthDescriptions"]
    old = [{"Id": one["Target"]["Id"], "Port": 11434} for one in told]
    if old:
        elb.deregister_targets(TargetGroupArn=service.target_group, Targets=old)
    if names:
        targets = [{"Id": name, "Port": 11434} for name in names]
        elb.register_targets(TargetGroupArn=service.target_group, Targets=targets)


async def leases() -> int:
    return len((await Records(Table(Aws(), TABLE)).get(SERVICE)).live(time.time()))


@pytest.mark.always
async def test_tasks_are_requested_and_the_first_warm_one_is_used(service: World):
    acquiring = asyncio.create_task(EcsBackend(SETTINGS).acquire(16, "a test", 2))
    await until_async(lambda: service.desired == 2)
    assert not acquiring.done()
    warm(service, "10.0.0.1")
    allocation = await acquiring
    assert (allocation.endpoint.url, allocation.slots, allocation.replicas.count, allocation.started) == (
        service.alb.url,
        SLOTS,
        1,
        True,
    )
    assert await leases() == 1
    warm(service, "10.0.0.1", "10.0.0.2", "10.0.0.3")
    await until_async(lambda: allocation.replicas.count == 3)
    await EcsBackend(SETTINGS).release(allocation)
    assert await leases() == 0
    # In to none is AWS's own affair, when nobody has used them for the idle time.
    assert service.desired == 2


async def test_status_shows_who_uses_the_tasks_and_when_they_end(service: World):
    warm(service, "10.0.0.1")
    allocation = await EcsBackend(SETTINGS).acquire(1, "a test")
    now = await allocation.lease.status()
    assert now.leases.startswith("a test, 1 slots, until ")
    assert now.ends == "1 tasks are warm; AWS stops them when they are idle"
    await EcsBackend(SETTINGS).release(allocation)


@pytest.mark.parametrize(("slots", "tasks"), [(1, 1), (SLOTS, 1), (SLOTS + 1, 2), (100, 2)])
async def test_no_more_tasks_are_requested_than_the_run_has_slots_for(service: World, slots: int, tasks: int):
    warm(service, "10.0.0.1")
    backend = EcsBackend(SETTINGS)
    allocation = await backend.acquire(slots, "a test", 2)
    assert service.desired == tasks
    await backend.release(allocation)


@pytest.mark.always
@pytest.mark.parametrize(
    ("pages", "slots", "tasks"), [(3, 16, 2), (239, 16, 2), (240, 16, 3), (9999, 16, 4), (9999, 8, 2), (9999, 4, 1)]
)
def test_a_run_requests_as_many_tasks_as_its_pages_are_worth(pages: int, slots: int, tasks: int):
    """At least two; the alarm that adds one has a threshold of 20 pages for each of 4 slots."""
    assert EcsBackend(Settings()).scale(slots).machines(pages) == tasks


async def test_a_run_does_not_reduce_the_number_of_tasks(service: World):
    service.scale(4)
    warm(service, "10.0.0.1")
    backend = EcsBackend(SETTINGS)
    allocation = await backend.acquire(2, "a test")
    assert (service.desired, allocation.started) == (4, False)
    await backend.release(allocation)


async def test_tasks_that_are_removed_during_a_run_are_requested_again(service: World):
    warm(service, "10.0.0.1")
    backend = EcsBackend(SETTINGS)
    allocation = await backend.acquire(16, "a test", 2)
    service.scale(0)  # an alarm that had been about to
    await until_async(lambda: service.desired == 2)
    await backend.release(allocation)


@pytest.mark.always
async def test_if_no_task_gets_warm_the_newest_event_is_shown_and_no_task_is_left(service: World):
    hasty = SETTINGS.model_copy(update={"ecs": SETTINGS.ecs.model_copy(update={"start_seconds": 0.3})})
    with pytest.raises(CapacityError, match=r"got warm in 0\.3 s: 0 of \d tasks warm"):
        await EcsBackend(hasty).acquire(16, "a test", 2)
    assert service.desired == 0
    assert await leases() == 0


async def test_a_run_that_ends_while_it_waits_leaves_no_task(service: World):
    acquiring = asyncio.create_task(EcsBackend(SETTINGS).acquire(16, "a test", 2))
    await until_async(lambda: service.desired == 2)
    acquiring.cancel()
    with pytest.raises(asyncio.CancelledError):
        await acquiring
    assert service.desired == 0


async def test_broken_tasks_are_removed_unless_others_use_them(service: World):
    warm(service, "10.0.0.1")
    one, other = EcsBackend(SETTINGS), EcsBackend(SETTINGS)
    mine, theirs = await one.acquire(16, "one", 2), await other.acquire(16, "another", 2)
    assert "keeps its tasks" in (await one.release(mine, broken=True)).message
    assert service.desired == 2
    assert "sent away" in (await other.release(theirs, broken=True)).message
    assert service.desired == 0


async def test_a_run_learns_that_no_task_is_left(service: World):
    warm(service, "10.0.0.1")
    quick = SETTINGS.model_copy(update={"ecs": SETTINGS.ecs.model_copy(update={"gone_seconds": 0.3})})
    backend = EcsBackend(quick)
    allocation = await backend.acquire(16, "a test", 2)
    warm(service)
    async with asyncio.timeout(PATIENCE):
        assert await allocation.interruption.wait_announced() == "no ECS task has served for 0.3 s"
    assert allocation.replicas.count == 0
    await backend.release(allocation)


async def test_a_run_learns_that_the_service_was_deleted(service: World):
    warm(service, "10.0.0.1")
    backend = EcsBackend(SETTINGS)
    allocation = await backend.acquire(16, "a test", 2)
    service.delete()
    async with asyncio.timeout(PATIENCE):
        assert await allocation.interruption.wait_announced() == "the ECS service was deleted"
    await backend.release(allocation)


async def test_the_metrics_of_the_alarms_are_sent_from_the_start(service: World):
    warm(service, "10.0.0.1", "10.0.0.2")
    backend = EcsBackend(SETTINGS)
    allocation = await backend.acquire(16, "a test", 2)
    allocation.replicas.waiting = lambda: 24
    await until_async(lambda: service.metric("InUse") == [1.0] and max(service.metric("PagesWaitingPerSlot")) == 24 / 4)
    await backend.release(allocation)


async def test_a_model_or_context_that_the_tasks_do_not_keep_warm_is_refused(service: World):
    warm(service, "10.0.0.1")
    backend = EcsBackend(SETTINGS)
    allocation = await backend.acquire(16, "a test", 2)
    allocation.lease.check_request(GenerateRequest("tesseract:eng", 8192, 100, 60))
    with pytest.raises(ModelError, match="keeps tesseract:eng warm with num_ctx 8192"):
        allocation.lease.check_request(GenerateRequest("tesseract:eng", 4096, 100, 60))
    with pytest.raises(ModelError, match="--model tesseract:eng"):
        allocation.lease.check_request(GenerateRequest("qwen2.5vl:7b", 8192, 100, 60))
    await backend.release(allocation)


async def test_the_error_of_a_missing_service_names_the_command_that_deploys_it(aws: AwsFront):
    with pytest.raises(CloudError, match="hearth infra up ecs"):
        await EcsBackend(SETTINGS).acquire(16, "a test", 2)


async def test_status_shows_the_runs_of_the_service_and_stop_ends_its_tasks_unless_one_uses_them(service: World):
    warm(service, "10.0.0.1")
    backend = EcsBackend(SETTINGS)
    allocation = await backend.acquire(16, "a test", 2)
    status = await service_status(SETTINGS)
    facts = status.facts["service"]
    assert (facts["desired"], facts["warm"]) == (2, 1)
    assert [lease["holder"] for lease in facts["leases"]] == ["a test"]
    assert "1 of 2 tasks warm" in status.summary
    assert "used by a test" in status.summary
    said: list[str] = []
    await stop_tasks(SETTINGS, (), said.append, lambda _: False)
    assert "in use by a test" in said[-1]
    assert service.desired == 2
    await backend.release(allocation)
    await stop_tasks(SETTINGS, (), said.append, lambda _: False)
    assert service.desired == 0


def test_the_command_shows_the_service_and_stops_it(service: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("HEARTH_BACKEND", "ecs")
    monkeypatch.setenv("HEARTH_HOME", str(tmp_path / "home"))
    service.scale(3)
    warm(service, "10.0.0.1")
    done = CliRunner().invoke(app, ["status"])
    assert done.exit_code == 0, done.output
    assert "hearth-ecs-default: 1 of 3 tasks warm" in done.output
    assert json.loads(CliRunner().invoke(app, ["status", "--json"]).output)["service"]["desired"] == 3
    assert "its tasks go" in CliRunner().invoke(app, ["stop", "--all"]).output
    assert service.desired == 0


async def test_a_price_book_that_cannot_be_read_is_reported_before_a_task_is_requested(service: World, tmp_path: Path):
    (tmp_path / "prices.json").write_text('{"schema_version": 9}')
    with pytest.raises(InputError, match=r"prices\.json is not a price book of this version"):
        await EcsBackend(SETTINGS.model_copy(update={"home": tmp_path})).acquire(16, "a test", 2)
    assert service.desired == 0
    assert await leases() == 0
