"""Delete what belongs to a run, and to no other: its results, its document, its webhooks, and its record last."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import suppress
from pathlib import Path

from fastapi import HTTPException

from flows.api.followed import Followed
from flows.api.prefect_state import is_over, status_of
from flows.api.records import Record
from flows.api.service import Service
from flows.api.uploads import remove_document
from tasks.core.errors import StorageError
from tasks.storage.file_locks import is_held, try_exclusive


async def delete(run: Followed, service: Service) -> None:
    """Delete a run that has ended. After a failure it may be asked for again: its record goes last.

    Raises:
        StorageError: something cannot be removed.
        HTTPException: 409, it goes on, or is just being posted again.
    """
    state = await run.state(anew=True)
    if not is_over(state):
        raise HTTPException(409, f"The run is {status_of(state)}. Cancel it, and delete it when it has ended.")
    await asyncio.to_thread(_delete, run.record, service)


def _delete(record: Record, service: Service) -> None:
    lease = try_exclusive(service.locks.of_document(record.sha256))
    if lease is None:
        raise HTTPException(409, "A document is just being posted. Delete the run again in a moment.")
    try:
        shared = service.runs.index.shared(record)
        if not shared.results and is_held(record.output / ".lock"):
            raise HTTPException(409, "A worker is still at the run's results. Delete the run again in a moment.")
        service.webhooks.forget(record.id)
        if not shared.results:
            _remove_results(record, service.api.directory / "results", alone=not shared.parent)
        if not shared.document:
            remove_document(service.api.directory / "documents", record.sha256)
        service.accepted.delete(record)
    except OSError as error:
        raise StorageError(
            f"{error.filename} cannot be removed: {error.strerror}. Mend the directory, and delete the run again."
        ) from None
    finally:
        lease.release()


def _remove_results(record: Record, results: Path, *, alone: bool) -> None:
    """Remove a run's results and, if no other has any beside them, what came there under other names, and the locks."""
    if results not in record.output.parents:
        return
    parent = record.output.parent
    for place in (record.output, *([parent] if alone and parent != results else [])):
        _remove_tree(place)
    if parent.parent != results:
        with suppress(OSError):  # the directory of a forced request has those of its other generations
            parent.parent.rmdir()


def _remove_tree(place: Path) -> None:
    with suppress(FileNotFoundError):
        shutil.rmtree(place)
