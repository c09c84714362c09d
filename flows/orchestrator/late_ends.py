"""Final states of runs that Prefect's server has not recorded, because it was away.

A run writes its final state to a file before it reports it to Prefect, and deletes the file when Prefect has recorded
the state. If the run's process ends in between, Prefect shows the run as running, or as crashed, until another process
of Hearth's reaches the server and delivers the state.
"""

import asyncio
import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import httpx
from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.runtime import flow_run as this_run
from prefect.settings import get_current_settings

from tasks.core.file_locks import FileLock, take_exclusive, try_exclusive
from tasks.core.private import make_directory, write_text
from tasks.settings.settings import load_settings

S = TypeVar("S", bound=State[Any])

_SEND_SECONDS = 20.0
_DELIVERING_SECONDS = 600.0
"""A process that lives longer after its run's end, such as a notebook's, no longer reports to Prefect itself."""
_WRONG = {StateType.RUNNING, StateType.CANCELLING, StateType.CRASHED}
"""States that a stored one replaces; any other is a person's choice, or an end that Prefect has recorded."""

_locks: dict[str, FileLock] = {}
"""Locks on the files of this process's runs: while they are held, no other process delivers the states."""


def store_end(state: S) -> S:
    """Store the final state of this run until Prefect has recorded it, and return it.

    Call this as soon as the end is certain, before Prefect is sent the last artifacts: that waits for a server that is
    away.
    """
    api, run = get_current_settings().api.url, this_run.id
    if api and run:
        with suppress(OSError):  # where nothing can be written, the automation for vanished runs remains
            path = _path(load_settings().home, str(run))
            make_directory(path.parent)
            if path.stem not in _locks:
                _locks[path.stem] = take_exclusive(path)
            facts = {"type": state.type.value, "name": state.name, "message": state.message}
            write_text(path, json.dumps({"api": api, "state": facts}))
    return state


def on_recorded(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Delete the stored state of a run, because Prefect has recorded it: a hook of the flows."""
    delete_end(str(flow_run.id))


def delete_end(run: str | None) -> None:
    """Delete the stored state of a run."""
    with suppress(OSError):
        _path(load_settings().home, str(run)).unlink(missing_ok=True)
    release_lock(str(run))


async def deliver(home: Path, api: str) -> None:
    """Send Prefect's server at an address the states that are stored for it, as far as it accepts them."""
    for path in await asyncio.to_thread(undelivered, home, api):
        with suppress(httpx.HTTPError, PrefectHTTPStatusError, OSError, ValueError, LookupError, TimeoutError):
            async with asyncio.timeout(_SEND_SECONDS), get_client() as client:
                with suppress(ObjectNotFound):
                    run = await client.read_flow_run(UUID(path.stem))
                    if run.state_type in _WRONG:
                        end = State[Any].model_validate(json.loads(path.read_text())["state"])
                        await client.set_flow_run_state(run.id, end, force=True)
                path.unlink(missing_ok=True)


def undelivered(home: Path, api: str) -> list[Path]:
    """Return the files of states for a server that no process is about to report itself."""
    files = []
    for path in (home / "prefect-ends").glob("*.json"):
        with suppress(OSError, ValueError, LookupError, TypeError):
            lock = try_exclusive(path)
            alone = lock is not None or time.time() - path.stat().st_mtime > _DELIVERING_SECONDS
            if lock is not None:
                lock.release()
            if alone and json.loads(path.read_text())["api"] == api:
                files.append(path)
    return files


def release_lock(run: str) -> None:
    """Leave the stored state of a run for other processes to deliver, as the end of this process does."""
    if lock := _locks.pop(run, None):
        lock.release()


def _path(home: Path, run: str) -> Path:
    return home / "prefect-ends" / f"{run}.json"
