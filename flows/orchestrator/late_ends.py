"""How runs ended that Prefect's server could not note, because it was away.

A run's end is written down before Prefect is told of it, and forgotten when Prefect has it. What is left when the run's
process has gone is of a run that Prefect shows as running, or as crashed: whoever of Hearth's next has the server at
hand tells it.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
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
from prefect.states import Failed

from tasks.core.errors import HearthError
from tasks.core.private import make_directory, write_text
from tasks.settings.settings import load_settings
from tasks.storage.file_locks import FileLock, take_exclusive, try_exclusive

S = TypeVar("S", bound=State[Any])

_SEND_SECONDS = 20.0
# A process that lives so long after a run's end is not telling it any more: a notebook's, for example.
_OWN_TRIES_SECONDS = 600.0
# Anything else is a person's wish, or an end that Prefect knows.
_WRONG = {StateType.RUNNING, StateType.CANCELLING, StateType.CRASHED}

_telling: dict[str, FileLock] = {}


@contextmanager
def end_written_down() -> Iterator[Callable[[S], S]]:
    """Have the end of this run written down until Prefect has noted it.

    Yields:
        What writes down a state, and returns it: to be called as soon as the end is certain, before Prefect is shown
        the last pictures, for which a server that is away is waited for. An error of Hearth's is written down as it
        passes.
    """
    _forget(this_run.id)  # of an earlier try
    try:
        yield _written
    except HearthError as error:
        _written(Failed(message=str(error)))
        raise


def forget_end(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Forget what was written down, for Prefect has noted it: a hook of the flows."""
    _forget(str(flow_run.id))


async def deliver(home: Path, api: str) -> None:
    """Tell Prefect's server at an address of the ends that are written down for it, as far as it takes them."""
    for path in await asyncio.to_thread(_left, home, api):
        with suppress(httpx.HTTPError, PrefectHTTPStatusError, OSError, ValueError, LookupError, TimeoutError):
            async with asyncio.timeout(_SEND_SECONDS), get_client() as client:
                with suppress(ObjectNotFound):
                    run = await client.read_flow_run(UUID(path.stem))
                    if run.state_type in _WRONG:
                        end = State[Any].model_validate(json.loads(path.read_text())["state"])
                        await client.set_flow_run_state(run.id, end, force=True)
                path.unlink(missing_ok=True)


def _written(state: S) -> S:
    api, run = get_current_settings().api.url, this_run.id
    if api and run:
        with suppress(OSError):  # where nothing can be kept, the automation for runs that vanished is left
            path = _path(load_settings().home, str(run))
            make_directory(path.parent)
            if path.stem not in _telling:
                _telling[path.stem] = take_exclusive(path)
            facts = {"type": state.type.value, "name": state.name, "message": state.message}
            write_text(path, json.dumps({"api": api, "state": facts}))
    return state


def _forget(run: str | None) -> None:
    with suppress(OSError):
        _path(load_settings().home, str(run)).unlink(missing_ok=True)
    if lease := _telling.pop(str(run), None):
        lease.release()


def _path(home: Path, run: str) -> Path:
    return home / "prefect-ends" / f"{run}.json"


def _left(home: Path, api: str) -> list[Path]:
    """The files of ends for a server that no process is about to tell."""
    found = []
    for path in (home / "prefect-ends").glob("*.json"):
        with suppress(OSError, ValueError, LookupError, TypeError):
            lease = try_exclusive(path)
            alone = lease is not None or time.time() - path.stat().st_mtime > _OWN_TRIES_SECONDS
            if lease is not None:
                lease.release()
            if alone and json.loads(path.read_text())["api"] == api:
                found.append(path)
    return found
