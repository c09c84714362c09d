"""Runs of the HTTP API that are older than they are kept: their records, results and documents."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

from pydantic import ValidationError

from flows.api.accepted import requests_in
from flows.api.records import Record
from flows.api.settings import ApiSettings
from flows.api.uploads import remove_document
from flows.api.webhooks import read_pending
from tasks.retention.expired import DAY_SECONDS, Expired, Kind, age_of, size_of, sweep, unlinked
from tasks.retention.results import remove_results, size_below
from tasks.settings.retention import RetentionSettings
from tasks.settings.settings import Settings


@asynccontextmanager
async def cleaned_daily(api: ApiSettings, settings: Settings) -> AsyncIterator[None]:
    """Delete what may go, now and each day."""

    async def cleaning() -> None:
        while True:
            with suppress(OSError):  # it is tried again
                await asyncio.to_thread(_clean, api.directory, settings.retention)
            await asyncio.sleep(DAY_SECONDS)

    task = asyncio.create_task(cleaning())
    try:
        yield
    finally:
        task.cancel()


def expired_runs(directory: Path, retention: RetentionSettings, now: float) -> Iterator[Expired]:
    """Runs that ended, or never wrote anything, so long ago, and of which no webhook is still to be sent.

    What waits in the queue stays, however long it does.
    """
    if retention.api_days is None:
        return
    oldest = retention.api_days * DAY_SECONDS
    records = {path: record for path in (directory / "runs").glob("*.json") if (record := _read(path)) is not None}
    announced = {pending.run for path in (directory / "webhooks").glob("*.json") if (pending := read_pending(path))}
    outputs = Counter(record.output for record in records.values())
    queued = {request.id: request for request in requests_in(directory / "queue")}
    documents = Counter(record.sha256 for record in records.values())
    documents.update(request.document.sha256 for request in queued.values())
    for path, record in records.items():
        last = record.output / "manifest.json"
        if (
            record.id in announced
            or record.id in queued
            or age_of(path, now) <= oldest
            or (age_of(last, now) <= oldest and last.exists())
        ):
            continue
        # What others have, too, goes with the last of them.
        outputs[record.output] -= 1
        documents[record.sha256] -= 1
        output = record.output if not outputs[record.output] else None
        document = directory / "documents" / f"{record.sha256}.pdf"
        alone = not documents[record.sha256] and age_of(document, now) > oldest
        freed = size_of(path) + (size_below(output) if output else 0) + (size_of(document) if alone else 0)
        yield Expired(Kind.API, 1, freed, partial(_remove, path, output, record.sha256 if alone else None))


def _clean(directory: Path, retention: RetentionSettings) -> None:
    sweep(expired_runs(directory, retention, time.time()), dry_run=False)


def _remove(record: Path, output: Path | None, sha256: str | None) -> bool:
    if output is not None and output.exists():
        if not remove_results(output):
            return False
        with suppress(OSError):  # results of the same request under another name
            output.parent.rmdir()
    if sha256 is not None:
        remove_document(record.parent.parent / "documents", sha256)
    return unlinked(record)


def _read(path: Path) -> Record | None:
    try:
        return Record.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
