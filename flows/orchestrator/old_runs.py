"""Finished runs of Hearth's flows, deleted from Prefect when they are old: its server keeps them for ever."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import TERMINAL_STATES
from prefect.settings import get_current_settings

SWEEPS = ("idle-shutdown", "sweep-machines")
OTHERS = ("process-document", "process-batch", "plan-costs")
_ENDED = {"type": {"any_": sorted(TERMINAL_STATES)}}
# In one transaction of the server, during which others wait for its database.
_AT_ONCE = 50


async def count_old_runs(client: PrefectClient, flows: Sequence[str], days: float) -> int:
    """How many runs of flows ended so many days ago, without the last run of each flow."""
    old = 0
    for flow in flows:
        count = await _count(client, flow, _ended_before(days))
        # If none has ended since, the last one is among them.
        old += count - (count > 0 and count == await _count(client, flow, {"state": _ENDED}))
    return old


async def delete_old_runs(client: PrefectClient, flows: Sequence[str], days: float) -> int:
    """Delete them, with their task runs, logs and stored results, and return how many.

    Their artifacts the server's vacuum finds.
    """
    deleted = 0
    for flow in flows:
        last = {run["id"] for run in await _runs(client, flow, {"state": _ENDED}, limit=1)}
        while some := [
            run for run in await _runs(client, flow, _ended_before(days), limit=_AT_ONCE) if run["id"] not in last
        ]:
            asked = {"flow_runs": {"id": {"any_": [run["id"] for run in some]}}, "limit": len(some)}
            # Prefect's client has no method for it, and its types do not know the path.
            (await cast("Any", client).request("POST", "/flow_runs/bulk_delete", json=asked)).raise_for_status()
            for run in some:
                _remove_result(run)
            deleted += len(some)
    return deleted


def _remove_result(run: dict[str, Any]) -> None:
    """Remove what a run returned, where Prefect keeps that on this machine, under a name of its own."""
    data = (run.get("state") or {}).get("data")
    key = data.get("storage_key") if isinstance(data, dict) and data.get("storage_block_id") is None else None
    storage = get_current_settings().results.local_storage_path
    if isinstance(key, str) and (path := Path(storage, key)).parent == storage:
        with suppress(OSError):
            path.unlink()


async def _runs(client: PrefectClient, flow: str, wanted: dict[str, Any], *, limit: int) -> list[dict[str, Any]]:
    """The runs of a flow that a filter lets through, the one that ended last first."""
    asked = {"flows": _named(flow), "flow_runs": wanted, "sort": "END_TIME_DESC", "limit": limit}
    found: list[dict[str, Any]] = (await client.request("POST", "/flow_runs/filter", json=asked)).json()
    return found


async def _count(client: PrefectClient, flow: str, wanted: dict[str, Any]) -> int:
    asked = {"flows": _named(flow), "flow_runs": wanted}
    return int((await client.request("POST", "/flow_runs/count", json=asked)).json())


def _ended_before(days: float) -> dict[str, Any]:
    before = datetime.now(UTC) - timedelta(days=days)
    return {"state": _ENDED, "end_time": {"before_": before.isoformat()}}


def _named(flow: str) -> dict[str, Any]:
    return {"name": {"any_": [flow]}}
