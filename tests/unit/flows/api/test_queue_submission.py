"""Accepted requests are submitted to Prefect from a queue on disk, and each becomes one run."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from types import SimpleNamespace
from uuid import uuid4

import pytest
from prefect.states import Completed, Scheduled

from flows.api import queue
from flows.api.settings import ApiSettings
from flows.orchestrator.trigger import request_key
from tasks.core.jobs import Job
from tests.support.waiting import PATIENCE, until_async
from tests.unit.flows.api.accepting import Prefect, accepted, serving, submitted, viewed

pytestmark = pytest.mark.usefixtures("at_once")


async def test_a_request_that_prefect_refuses_does_not_block_others(
    kept: ApiSettings, pdf: bytes, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(queue, "REFUSED_SECONDS", PATIENCE)
    prefect = Prefect(422)
    async with serving(kept, prefect) as client:
        refused, taken = await accepted(client, pdf), await accepted(client, pdf, pages="1")
        await submitted(client, taken)
        assert (await viewed(client, refused))["prefect"]["message"].startswith(
            "Prefect refuses the request (HTTP 422)"
        )


async def test_a_run_with_unknown_parameters_does_not_block_others(
    kept: ApiSettings, pdf: bytes, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(queue, "REFUSED_SECONDS", PATIENCE)
    key = request_key(Job(document=""), hashlib.sha256(pdf).hexdigest())
    prefect = Prefect()
    output = str(kept.directory / "results" / key[:32])
    foreign = {"id": uuid4(), "parameters": {"job": {"moon": 1, "output": output}}, "labels": {}}
    prefect.runs[f"{key}-0"] = SimpleNamespace(**foreign, idempotency_key=f"{key}-0", state=Scheduled(), created=None)
    async with serving(kept, prefect) as client:
        await accepted(client, pdf)
        await submitted(client, await accepted(client, pdf, pages="1"))


async def test_a_request_becomes_one_run_even_if_the_backend_dies_before_it_records_it(
    kept: ApiSettings, pdf: bytes, monkeypatch: pytest.MonkeyPatch
):
    """Even if the run has ended: otherwise a forced request would be read twice."""
    prefect = Prefect()

    def fail(*_: object) -> None:
        raise OSError

    with monkeypatch.context() as patched:
        patched.setattr("flows.api.accepted.Accepted.record_submitted", fail)
        async with serving(kept, prefect) as client:
            request = await accepted(client, pdf, force=True)
            await until_async(lambda: prefect.runs)
    prefect.end(Completed())
    async with serving(kept, prefect) as client:
        await submitted(client, request)
    assert len(prefect.runs) == 1


async def test_a_run_of_an_earlier_version_is_found_by_its_key(kept: ApiSettings, pdf: bytes):
    content = hashlib.sha256(pdf).hexdigest()
    job = Job(document="")
    key = request_key(job, content)
    prefect = Prefect()
    before = {"document": f"/{content}.pdf", "output": str(kept.directory / "results" / key[:32])}
    run = SimpleNamespace(id=uuid4(), parameters={"job": before}, idempotency_key=f"{key}-0", labels={})
    prefect.runs[f"{key}-0"] = run
    run.state, run.created = Completed(), datetime.now(UTC)
    (kept.directory / "results" / key[:32] / f"{content}-{content[:12]}").mkdir(parents=True)
    async with serving(kept, prefect) as client:
        request = (await client.post("/documents", content=pdf)).json()["id"]
        assert (await submitted(client, request))["run"] == str(run.id)
    assert list(prefect.runs) == [f"{key}-0"]


async def test_two_directories_on_one_prefect_server_are_independent(kept: ApiSettings, pdf: bytes):
    prefect = Prefect()
    other = ApiSettings(directory=kept.directory.with_name("other"), prefect_seconds=0.5)
    async with serving(kept, prefect) as ours, serving(other, prefect) as theirs:
        first, second = await accepted(ours, pdf), await accepted(theirs, pdf)
        assert (await submitted(ours, first))["run"] != (await submitted(theirs, second))["run"]
        assert (await ours.get(f"/documents/{second}")).status_code == 404
        assert first != second
        assert (await accepted(ours, pdf), await accepted(theirs, pdf)) == (first, second)
    assert len({run.parameters["job"]["output"] for run in prefect.runs.values()}) == 2
