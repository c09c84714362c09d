"""Delete runs: one on a client's request, and those whose retention time is over."""

import asyncio
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from fastapi import HTTPException

from flows.api.accepted import requests_in
from flows.api.followed import Followed
from flows.api.prefect_state import is_over, status_of
from flows.api.records import Record, read_model
from flows.api.service import Service
from flows.api.settings import ApiSettings
from flows.api.uploads import kept_document, remove_document
from flows.api.webhooks import webhooks_in
from tasks.core.errors import StorageError
from tasks.core.file_locks import is_held, try_exclusive
from tasks.retention.expired import DAY_SECONDS, Expired, Kind, age_of, remove_files, size_of, sweep
from tasks.retention.local_files import remove_results, size_below
from tasks.settings.retention import RetentionSettings
from tasks.settings.settings import Settings


async def delete_run(run: Followed, service: Service) -> None:
    """Delete a run that has ended. Its record is removed last, so that a failed deletion can be repeated.

    Raises:
        StorageError: a file cannot be removed.
        HTTPException: 409, the run has not ended, or its document is being posted again.
    """
    state = await run.state(fresh=True)
    if not is_over(state):
        raise HTTPException(409, f"The run is {status_of(state)}. Cancel it, and delete it when it has ended.")
    await asyncio.to_thread(_delete, run.record, service)


def _delete(record: Record, service: Service) -> None:
    lock = try_exclusive(service.accepted.document_lock(record.sha256))
    if lock is None:
        raise HTTPException(409, "The document is being posted. Delete the run again in a moment.")
    with lock:
        try:
            shared = service.runs.index.shared(record)
            if not shared.results and is_held(record.output / ".lock"):
                raise HTTPException(409, "A worker is still writing the results. Delete the run again in a moment.")
            service.webhooks.forget(record.id)
            if not shared.results:
                _remove_results(record, service.api.directory / "results", alone=not shared.parent)
            if not shared.document:
                remove_document(service.api.directory / "documents", record.sha256)
            service.accepted.delete(record)
        except OSError as error:
            raise StorageError(
                f"{error.filename} cannot be removed: {error.strerror}. Fix the directory, and delete the run again."
            ) from None


def _remove_results(record: Record, results: Path, *, alone: bool) -> None:
    """Remove a run's results, and the whole directory of its request if no other run has results there."""
    if results not in record.output.parents:
        return
    parent = record.output.parent
    for directory in (record.output, *([parent] if alone and parent != results else [])):
        with suppress(FileNotFoundError):
            shutil.rmtree(directory)
    if parent.parent != results:
        with suppress(OSError):  # the directory of a forced request contains its other generations
            parent.parent.rmdir()


async def clean_daily(api: ApiSettings, settings: Settings) -> None:
    """Delete expired runs now and every day."""
    while True:
        with suppress(OSError):  # repeated the next day
            runs = expired_runs(api.directory, settings.retention, time.time())
            await asyncio.to_thread(sweep, runs, dry_run=False)
        await asyncio.sleep(DAY_SECONDS)


def expired_runs(directory: Path, retention: RetentionSettings, now: float) -> Iterator[Expired]:
    """Yield runs that ended long enough ago, or never wrote anything, and have no pending webhook.

    Requests in the queue are kept, however long they wait.
    """
    if retention.api_days is None:
        return
    oldest = retention.api_days * DAY_SECONDS
    paths = (directory / "runs").glob("*.json")
    records = {path: record for path in paths if (record := read_model(path, Record)) is not None}
    pending = {webhook.run for webhook in webhooks_in(directory / "webhooks")}
    outputs = Counter(record.output for record in records.values())
    queued = {request.id: request for request in requests_in(directory / "queue")}
    documents = Counter(record.sha256 for record in records.values())
    documents.update(request.document.sha256 for request in queued.values())
    for path, record in records.items():
        last = record.output / "manifest.json"
        if (
            record.id in pending
            or record.id in queued
            or age_of(path, now) <= oldest
            or (age_of(last, now) <= oldest and last.exists())
        ):
            continue
        # Results and documents that several runs share are removed with the last of them.
        outputs[record.output] -= 1
        documents[record.sha256] -= 1
        output = record.output if not outputs[record.output] else None
        document = kept_document(directory / "documents", record.sha256)
        alone = not documents[record.sha256] and age_of(document, now) > oldest
        freed = size_of(path) + (size_below(output) if output else 0) + (size_of(document) if alone else 0)
        yield Expired(Kind.API, 1, freed, partial(_remove, path, output, record.sha256 if alone else None))


def _remove(record: Path, output: Path | None, sha256: str | None) -> bool:
    if output is not None and output.exists():
        if not remove_results(output):
            return False
        with suppress(OSError):  # results of the same request under another name
            output.parent.rmdir()
    if sha256 is not None:
        remove_document(record.parent.parent / "documents", sha256)
    return remove_files(record)
