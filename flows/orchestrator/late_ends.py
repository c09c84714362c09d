"""How runs ended while Prefect's server was away.

A run's end is written down before Prefect is notified of it, and deleted when Prefect has noted it. If the run's
process ends in between, Prefect shows the run as running, or as crashed, until a later process of Hearth's that reaches
the server delivers the end.
"""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar
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
from tasks.core.file_locks import FileLock, take_exclusive, try_exclusive
from tasks.core.private import make_directory, write_text
from tasks.settings.settings import load_settings

S = TypeVar("S", bound=State[Any])

_SEND_SECONDS = 20.0
_DELIVERING_SECONDS = 600.0
"""A process that lives longer after its run's end, such as a notebook's, no longer notifies Prefect itself."""
_WRONG = {StateType.RUNNING, StateType.CANCELLING, StateType.CRASHED}
"""States that a written end replaces; any other is a person's choice, or an end that Prefect knows."""

_held: dict[str, FileLock] = {}


class NoteEnd(Protocol):
    """Writes a run's final state down, and returns it."""

    def __call__(self, state: S, /) -> S:
        """Write a state down."""
        ...


@contextmanager
def end_written_down() -> Iterator[NoteEnd]:
    """Have the end of this run written down until Prefect has noted it.

    Yields:
        A function that writes a state down. Call it as soon as the end is certain, before Prefect is sent the last
        artifacts, which waits for a server that is away. An error of Hearth's is written down as it passes.
    """
    _forget(this_run.id)  # of an earlier try
    try:
        yield _note
    except HearthError as error:
        _note(Failed(message=str(error)))
        raise


def forget_end(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Delete what was written down, for Prefect has noted it: a hook of the flows."""
    _forget(str(flow_run.id))


async def deliver(home: Path, api: str) -> None:
    """Send Prefect's server at an address the ends that are written down for it, as far as it accepts them."""
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
    """Return the files of ends for a server that no process is about to deliver itself."""
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


def _note(state: S) -> S:
    api, run = get_current_settings().api.url, this_run.id
    if api and run:
        with suppress(OSError):  # where nothing can be written, the automation for runs that vanished remains
            path = _path(load_settings().home, str(run))
            make_directory(path.parent)
            if path.stem not in _held:
                _held[path.stem] = take_exclusive(path)
            facts = {"type": state.type.value, "name": state.name, "message": state.message}
            write_text(path, json.dumps({"api": api, "state": facts}))
    return state


def _forget(run: str | None) -> None:
    with suppress(OSError):
        _path(load_settings().home, str(run)).unlink(missing_ok=True)
    if lock := _held.pop(str(run), None):
        lock.release()


def _path(home: Path, run: str) -> Path:
    return home / "prefect-ends" / f"{run}.json"
