"""The deployment behind the HTTP API: which requests create a run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.orchestration import PrefectClient
from prefect.states import Cancelled, Completed, Failed

from flows.cli.main import app
from flows.orchestrator.trigger import RunRequest, trigger
from flows.process_document import process_document
from tasks.core.errors import InputError, UnavailableError
from tasks.core.jobs import Job
from tests.support.commands import PrefectServer


def test_without_a_token_the_api_is_served_to_this_machine_only():
    with pytest.raises(InputError, match="Without API_TOKEN"):
        app(["serve-api", "--host", "0.0.0.0"], standalone_mode=False)


@pytest.fixture
async def deployment(prefect: PrefectServer) -> AsyncIterator[tuple[PrefectClient, str]]:
    """A deployment of its own that no worker looks at."""
    async with PrefectClient(prefect.api) as client:
        flow = await client.create_flow(process_document)
        name = f"idle-{uuid4()}"
        await client.create_deployment(flow, name)
        yield client, f"{process_document.name}/{name}"


async def _run(deployment: tuple[PrefectClient, str], **options: Any) -> tuple[UUID, str]:
    client, name = deployment
    run = await trigger(client, Job(document="/a.pdf", output="/results", **options), "its sha256", name)
    return run.id, run.parameters["job"]["output"]


async def test_equal_requests_are_one_run_while_it_is_active_and_when_it_is_complete(
    deployment: tuple[PrefectClient, str],
):
    first, second = await asyncio.gather(_run(deployment), _run(deployment))
    await deployment[0].set_flow_run_state(first[0], Completed(), force=True)
    assert first == second == await _run(deployment)
    assert await _run(deployment, pages="1") != first


@pytest.mark.long("makes two runs, three times: 6 s")
@pytest.mark.parametrize("state", [Failed(), Cancelled(), Completed(name="Partial")], ids=lambda state: state.name)
async def test_an_incomplete_run_is_followed_by_one_new_run(deployment: tuple[PrefectClient, str], state):
    first = await _run(deployment)
    await deployment[0].set_flow_run_state(first[0], state, force=True)
    second, third = await asyncio.gather(_run(deployment), _run(deployment))
    assert second == third
    assert second[0] != first[0]
    assert second[1] == first[1]  # and goes on from what stands


async def test_a_forced_request_reads_again_into_its_own_directory(deployment: tuple[PrefectClient, str]):
    first = await _run(deployment, force=True)
    assert await _run(deployment, force=True) == first
    await deployment[0].set_flow_run_state(first[0], Completed(), force=True)
    assert (await _run(deployment, force=True))[1] == "/results/1"


@pytest.mark.long("two services: 3 s")
async def test_owners_on_one_prefect_server_have_separate_runs(deployment: tuple[PrefectClient, str]):
    """The second owner uses the next generation; a run without a label belongs to the owner of its output."""
    client, name = deployment
    job = Job(document="/a.pdf", output="/results")

    async def run(owner: str, request: str, output: str) -> UUID:
        asked = RunRequest("their key", owner, request)
        return (await trigger(client, job.model_copy(update={"output": output}), "a", name, asked)).id

    unmarked = (await trigger(client, job, "a", name, RunRequest("their key"))).id
    assert await run("ours", "1", "/results") == unmarked
    theirs = await run("theirs", "2", "/elsewhere")
    assert theirs != unmarked
    assert await run("theirs", "3", "/elsewhere") == theirs
    await client.set_flow_run_state(theirs, Failed(), force=True)
    assert await run("theirs", "2", "/elsewhere") == theirs  # one request is one run
    assert await run("theirs", "3", "/elsewhere") not in (theirs, unmarked)


async def test_a_missing_deployment_is_reported_with_a_remedy(deployment: tuple[PrefectClient, str]):
    with pytest.raises(UnavailableError, match="prefect --no-prompt deploy"):
        await _run((deployment[0], "process-document/none"))
