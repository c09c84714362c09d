"""`hearth status`, `hearth stop` and `hearth start` on EC2."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any

import pytest

from tasks.backends.ec2.pool import open_pool
from tasks.leasing.lease import Lease
from tests.integration.ec2.acquiring import backend
from tests.support.aws.front import AwsFront
from tests.support.aws.machines import Machines
from tests.support.aws.pool import Pool
from tests.support.commands import Hearth

pytestmark = pytest.mark.long("runs commands with a machine: 2 to 10 s")


@pytest.fixture
def ec2(hearth: Hearth, aws: AwsFront, pool: Pool) -> Hearth:
    settings = {
        **{"HEARTH_BACKEND": "ec2", "HEARTH_MODEL": "tesseract:eng", "HEARTH_EC2__POLL_SECONDS": "0.2"},
        **{"HEARTH_EC2__LEASE_SECONDS": "36000", "HEARTH_IDLE_MINUTES": "60000"},
    }
    return Hearth(hearth.directory, {**hearth.environment, **aws.environment, **settings})


def status(ec2: Hearth) -> list[dict[str, Any]]:
    return ec2("status", "--json").json["machines"]


def lease(machine: str, holder: str) -> None:
    async def take() -> None:
        opened = await open_pool(backend().settings)
        assert await opened.records.take(machine, Lease(holder, 2, 9e9))

    asyncio.run(take())


def test_start_warms_a_machine_up(ec2: Hearth, machines: Machines):
    started = ec2("start")
    assert started.code == 0, started.err
    assert "tesseract:eng is warm" in started.out
    (machine,) = status(ec2)
    assert machine["models"] == ["tesseract:eng"]
    assert machine["leases"] == []
    kept = re.fullmatch(r"warm for the next run, to be looked at in (\d+) min", machine["ends"])
    assert kept is not None
    assert 60_000 - 60 < int(kept[1]) <= 60_000  # the idle time after the run, less what has gone by since


def test_status_lists_each_machine_and_its_users(ec2: Hearth, machines: Machines):
    began = time.time()
    ec2("start")
    (name,) = machines.running()
    lease(name, "paper on desk")
    (machine,) = status(ec2)
    assert machine["id"] == name
    assert (machine["state"], machine["type"], machine["market"], machine["zone"]) == (
        *("running", "g4dn.xlarge", "spot", "us-east-1a"),
    )
    assert [each["holder"] for each in machine["leases"]] == ["paper on desk"]
    assert (machine["slots_leased"], machine["slots"]) == (2, 2)
    assert machine["usd"] >= 0
    assert 0 < machine["up_seconds"] <= time.time() - began + 1  # EC2 tells whole seconds
    (watched,) = ec2("top", "--json").json["machines"]
    assert (watched["id"], watched["leases"]) == (name, ["paper on desk"])
    assert watched["slots"]["served"] in {1, 2}  # a busy machine may be found to serve fewer
    shown = ec2("status", COLUMNS="200").out
    assert "paper on desk (2 slots)" in shown
    assert "g4dn.xlarge spot" in shown


def test_stop_ends_a_machine_by_name(ec2: Hearth, machines: Machines):
    ec2("start")
    (name,) = machines.running()
    stopped = ec2("stop", name)
    assert stopped.code == 0, stopped.err
    assert f"{name}: terminate (asked for)" in stopped.out
    assert machines.running() == []
    assert status(ec2) == []


@pytest.mark.long("waits for a machine that does not answer")
def test_stop_ends_a_leased_machine_only_by_name_and_force(ec2: Hearth, machines: Machines):
    ec2("start")
    (name,) = machines.running()
    lease(name, "paper on desk")
    refused = ec2("stop", "--all")
    assert "in use by paper on desk" in refused.out
    assert machines.running() == [name]
    forced = ec2("stop", name, "--force")
    assert forced.code == 0, forced.err
    assert machines.running() == []


@pytest.mark.always
def test_stop_names_machines_that_do_not_exist(ec2: Hearth):
    refused = ec2("stop", "i-0123")
    assert refused.code == 2
    assert "Nothing is called i-0123" in refused.err


@pytest.mark.always
def test_status_calls_no_cloud_if_no_region_is_set(hearth: Hearth, aws: AwsFront):
    told = Hearth(hearth.directory, {**hearth.environment, **aws.environment})("status")
    assert told.code == 0
    assert aws.calls == []
