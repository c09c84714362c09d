"""`hearth up` creates the work pool if it is missing, and does not change an existing one."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.local import pool as module
from tasks.core.errors import ServerError
from tests.support.commands import PrefectServer

NAME = "made-by-the-test"


@pytest.fixture
def pool(prefect: PrefectServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of the pool that is brought up; it goes with the test."""
    monkeypatch.setattr(module, "POOL", NAME)
    with temporary_settings({PREFECT_API_URL: prefect.api}):
        yield NAME
    httpx.delete(f"{prefect.api}/work_pools/{NAME}").raise_for_status()


async def test_a_missing_pool_is_created_for_local_processes(prefect: PrefectServer, pool: str):
    await module.create_pool()
    assert prefect.ask("GET", f"work_pools/{pool}").json()["type"] == "process"


async def test_the_variables_of_an_existing_pool_are_kept(prefect: PrefectServer, pool: str):
    template = {"job_configuration": {"env": {"OURS": "1"}}, "variables": {"type": "object", "properties": {}}}
    prefect.ask("POST", "work_pools/", json={"name": pool, "type": "process", "base_job_template": template})
    await module.create_pool()
    found = prefect.ask("GET", f"work_pools/{pool}").json()["base_job_template"]
    assert found["job_configuration"]["env"] == {"OURS": "1"}


async def test_a_pool_of_another_type_is_refused_with_a_remedy(prefect: PrefectServer, pool: str):
    prefect.ask("POST", "work_pools/", json={"name": pool, "type": "docker"})
    with pytest.raises(ServerError, match=rf"work pool {pool} of type docker.*prefect work-pool delete {pool}"):
        await module.create_pool()
