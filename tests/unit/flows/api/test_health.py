"""Whether requests can be served, as load balancers check it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest
from prefect.exceptions import ObjectNotFound

from tests.unit.flows.api.application import Application, application


async def _health(api: Application) -> tuple[int, dict[str, object]]:
    response = await api.client.get("/health")
    return response.status_code, response.json()


async def test_a_working_backend_is_ok(api: Application):
    assert await _health(api) == (200, {"status": "ok", "missing": []})


@pytest.mark.parametrize(
    ("trouble", "missing"),
    [
        (httpx.ConnectError("refused"), "prefect"),
        (TimeoutError(), "prefect"),
        (ObjectNotFound(Exception()), "deployment"),
    ],
    ids=["unreachable", "silent", "not deployed"],
)
async def test_missing_parts_of_prefect_are_named(api: Application, trouble: Exception, missing: str):
    api.prefect.trouble = trouble
    assert await _health(api) == (503, {"status": "unavailable", "missing": [missing]})
    assert (await api.client.get("/health/live")).status_code == 200


async def test_a_missing_directory_is_named(api: Application):
    api.directory.rename(api.directory.with_name("elsewhere"))
    assert await _health(api) == (503, {"status": "unavailable", "missing": ["directory"]})


async def test_simultaneous_checks_make_one_call_to_prefect(api: Application):
    await asyncio.gather(*(_health(api) for _ in range(50)))
    assert len(api.prefect.asked) == 1


async def test_no_token_is_needed(tmp_path: Path):
    async with application(tmp_path, token="the token of this test") as api:
        assert await _health(api) == (200, {"status": "ok", "missing": []})
        assert (await api.client.get("/documents")).status_code == 401
