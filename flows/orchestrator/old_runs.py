"""Delete old finished runs of Hearth's flows from Prefect, whose server otherwise keeps them for ever."""

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
_ENDED = {"state": {"type": {"any_": sorted(TERMINAL_STATES)}}}
DELETED_AT_ONCE = 50
"""Runs deleted in one transaction of the server, during which other requests wait for its database."""


async def count_old_runs(client: PrefectClient, flows: Sequence[str], days: float) -> int:
    """Return how many runs of flows ended at least that many days ago, without the last run of each flow."""
    old = 0
    for flow in flows:
        count = await _count(client, flow, _ended_before(days))
        # If none has ended since, the last run is among them.
        old += count - (count > 0 and count == await _count(client, flow, _ENDED))
    return old


async def delete_old_runs(client: PrefectClient, flows: Sequence[str], days: float) -> int:
    """Delete these runs with their task runs, logs and stored results, and return how many were deleted.

    The server's own clean-up deletes their artifacts.
    """
    deleted = 0
    for flow in flows:
        last = {run["id"] for run in await _runs(client, flow, _ENDED, limit=1)}
        while old := [
            run
            for run in await _runs(client, flow, _ended_before(days), limit=DELETED_AT_ONCE)
            if run["id"] not in last
        ]:
            body = {"flow_runs": {"id": {"any_": [run["id"] for run in old]}}, "limit": len(old)}
            # Prefect's client has no method for this, and its types do not know the path.
            (await cast("Any", client).request("POST", "/flow_runs/bulk_delete", json=body)).raise_for_status()
            for run in old:
                _remove_result(run)
            deleted += len(old)
    return deleted


def _remove_result(run: dict[str, Any]) -> None:
    """Remove a run's result, if Prefect stores it on this machine under a name of Prefect's own."""
    data = (run.get("state") or {}).get("data")
    key = data.get("storage_key") if isinstance(data, dict) and data.get("storage_block_id") is None else None
    storage = get_current_settings().results.local_storage_path
    if isinstance(key, str) and (path := Path(storage, key)).parent == storage:
        with suppress(OSError):
            path.unlink()


async def _runs(client: PrefectClient, flow: str, matching: dict[str, Any], *, limit: int) -> list[dict[str, Any]]:
    """Return the runs of a flow that match a filter, the most recently ended first."""
    body = {**_filter(flow, matching), "sort": "END_TIME_DESC", "limit": limit}
    runs: list[dict[str, Any]] = (await client.request("POST", "/flow_runs/filter", json=body)).json()
    return runs


async def _count(client: PrefectClient, flow: str, matching: dict[str, Any]) -> int:
    return int((await client.request("POST", "/flow_runs/count", json=_filter(flow, matching))).json())


def _filter(flow: str, matching: dict[str, Any]) -> dict[str, Any]:
    return {"flows": {"name": {"any_": [flow]}}, "flow_runs": matching}


def _ended_before(days: float) -> dict[str, Any]:
    before = datetime.now(UTC) - timedelta(days=days)
    return {**_ENDED, "end_time": {"before_": before.isoformat()}}
