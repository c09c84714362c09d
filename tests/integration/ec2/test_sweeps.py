"""The sweep and the idle shutdown: old disks and unused machines."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator

import pytest
from prefect.logging import disable_run_logger

import flows.idle_shutdown
import tasks.backends.ec2.reaper
from flows.idle_shutdown import idle_shutdown, sweep_machines
from tasks.backends.ec2.reaper import sweep_disks
from tasks.core.errors import CloudError
from tasks.settings.settings import Settings
from tests.integration.ec2.idle_machines import AT_ONCE, leased, opened
from tests.support.aws.faults import error, held
from tests.support.aws.front import AwsFront
from tests.support.aws.launches import launch, state
from tests.support.aws.machines import Machines
from tests.support.aws.pool import Pool
from tests.support.waiting import until_async

pytestmark = pytest.mark.long("launches a machine for each test: 1 to 6 s")

# Disks


async def test_an_old_unattached_disk_is_deleted_and_nothing_else(
    aws: AwsFront, pool: Pool, pools: Callable[..., Pool], machines: Machines
):
    pools("gpu")
    pool_ = await opened()
    launch(aws, pool)  # has a disk, too

    def disk(owner: str) -> str:
        tags = {"ResourceType": "volume", "Tags": [{"Key": "hearth:pool", "Value": owner}]}
        place = {"AvailabilityZone": "us-east-1a", "Size": 100}
        return aws.behind("ec2").create_volume(**place, TagSpecifications=[tags])["VolumeId"]

    before = set(machines.disks())
    old, others, young = disk("default"), disk("gpu"), disk("default")
    aws.descriptions.disk_ages |= dict.fromkeys([old, others], tasks.backends.ec2.reaper.DISK_SECONDS + 60)
    assert await sweep_disks(pool_) == (old,)
    assert set(machines.disks()) == before | {others, young}


async def test_a_disk_that_another_sweep_has_deleted_is_no_error(
    aws: AwsFront, pool: Pool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tasks.backends.ec2.reaper, "DISK_SECONDS", -1.0)
    pool_ = await opened()
    tags = {"ResourceType": "volume", "Tags": [{"Key": "hearth:pool", "Value": "default"}]}
    place = {"AvailabilityZone": "us-east-1a", "Size": 100}
    aws.behind("ec2").create_volume(**place, TagSpecifications=[tags])
    release = threading.Event()
    deletes = aws.inject(held(release), "DeleteVolume", times=2)
    sweeps = asyncio.gather(sweep_disks(pool_), sweep_disks(pool_))
    await until_async(lambda: len(deletes.hits) == 2)
    release.set()
    deleted = await sweeps
    assert sorted(map(len, deleted)) == [0, 1]


# The flows


@pytest.fixture
def scheduled(aws: AwsFront, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, float]]]:
    """The looks that the flows ask Prefect for; the flows run as plain functions."""
    asked: list[tuple[str, float]] = []

    async def schedule(_: Settings, machine: str, at: float, *, released: bool) -> None:
        assert not released
        asked.append((machine, at))

    monkeypatch.setattr(flows.idle_shutdown, "schedule_idle_shutdown", schedule)
    monkeypatch.setenv("HEARTH_IDLE_MINUTES", str(AT_ONCE))
    with disable_run_logger():
        yield asked


async def test_a_machine_that_cannot_be_stopped_does_not_end_the_sweep(aws: AwsFront, pool: Pool, scheduled: list):
    names = [launch(aws, pool, "spot") for _ in range(3)]
    aws.inject(
        error("OperationNotPermitted"),
        "TerminateInstances",
        where=lambda call: names[1] in call.listed("InstanceId"),
    )
    with pytest.raises(CloudError, match="OperationNotPermitted"):
        await sweep_machines.fn()
    assert [state(aws, name) for name in names] == ["terminated", "running", "terminated"]
    await sweep_machines.fn()
    assert state(aws, names[1]) == "terminated"


@pytest.mark.always
async def test_the_sweep_reports_what_it_did(aws: AwsFront, pool: Pool, scheduled: list, pools: Callable[..., Pool]):
    names = [launch(aws, pool), launch(aws, pool, "spot")]
    elsewhere = launch(aws, pools("gpu"))
    assert set(await sweep_machines.fn()) == {f"{names[0]}: stop: idle", f"{names[1]}: terminate: idle"}
    assert state(aws, elsewhere) == "running"


async def test_two_simultaneous_sweeps_complete_and_the_machine_is_stopped(aws: AwsFront, pool: Pool, scheduled: list):
    """Prefect does not prevent this; AWS accepts the second stop of a machine."""
    name = launch(aws, pool)
    told = await asyncio.gather(sweep_machines.fn(), sweep_machines.fn())
    assert f"{name}: stop: idle" in [line for lines in told for line in lines]
    assert len(aws.called("StopInstances")) == 1
    assert state(aws, name) == "stopped"


async def test_the_idle_shutdown_does_not_change_machines_of_another_pool(
    aws: AwsFront, pool: Pool, scheduled: list, pools: Callable[..., Pool]
):
    name = launch(aws, pools("gpu"))
    assert await idle_shutdown.fn(name) == f"{name}: no machine of this pool"
    assert state(aws, name) == "running"
    assert scheduled == []


async def test_the_idle_shutdown_of_a_leased_machine_is_scheduled_again_after_the_lease(
    aws: AwsFront, pool: Pool, scheduled: list
):
    name = launch(aws, pool)
    taken = await leased(await opened(), name)
    assert await idle_shutdown.fn(name) == f"{name}: keep: leased"
    assert scheduled == [(name, pytest.approx(taken.until, abs=0.1))]


async def test_after_a_terminated_machine_nothing_is_scheduled(aws: AwsFront, pool: Pool, scheduled: list):
    name = launch(aws, pool, "spot")
    assert await idle_shutdown.fn(name) == f"{name}: terminate: idle"
    assert await idle_shutdown.fn("i-00000000000000000") == "i-00000000000000000: no machine of this pool"
    assert scheduled == []
