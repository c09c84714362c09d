"""The request for a batch, and where its documents are."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from datetime import time as clock
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, WithJsonSchema, field_validator

from tasks.batches.folders import documents_below, is_companion, paths_listed
from tasks.core.document_kinds import is_document
from tasks.core.errors import CloudError, InputError
from tasks.core.jobs import Job
from tasks.core.options import Options
from tasks.core.paths import format_path
from tasks.settings.settings import Settings
from tasks.storage.files import S3Path, StoragePath, parse_path

_LIST = ".txt"
# Not the format "time", which asks for seconds and a time zone.
_CLOCK = {"type": "string", "pattern": "^[0-9]{2}:[0-9]{2}"}
_FRESH_SECONDS = 60.0

Skipped = Callable[[str], None]
"""Called with a sentence for each file that is not read, and why."""


class Batch(Options):
    """What to read, how, and what it may cost. What is left empty takes the worker's setting (HEARTH_*)."""

    usual = (
        *("sources", "pages", "model", "backend", "output"),
        *("max_usd", "finish_within", "finish_by", "time_zone", "workers", "worker_pages"),
    )
    internal = ("part", "max_minutes")

    sources: tuple[str, ...] = Field(
        (),
        title="Sources",
        description="Folders (all PDFs and pictures below them), documents, and lists (.txt, a path a line), on the "
        "machine that runs the flow or under s3://. The worker's inbox (HEARTH_INBOX, or inbox) if empty.",
        examples=[["/data/inbox", "s3://bucket/inbox"]],
    )
    max_minutes: float | None = Field(
        None,
        gt=0,
        title="Budget, minutes",
        description="Begin no page this many minutes after the start, as finish_within.",
        examples=[240],
    )
    finish_by: Annotated[clock, WithJsonSchema(_CLOCK)] | None = Field(
        None,
        title="Finish by",
        description="Begin no page after this time of day, such as 06:00; no limit if empty.",
        examples=["06:00"],
    )
    time_zone: str = Field(
        "UTC",
        title="Time zone",
        description="Time zone of Finish by, such as Europe/Berlin.",
        examples=["Europe/Berlin"],
    )
    workers: int = Field(
        1,
        ge=1,
        le=64,
        title="Workers",
        description="Most runs that share the documents, 1 to 64, on as many workers of the work pool as are free. "
        "They must see the same sources and output. One is enough if one machine reads all in time.",
        examples=[4],
    )
    worker_pages: int = Field(
        200,
        ge=1,
        title="Pages a worker",
        description="Least pages for each run; fewer runs share the documents if there are not enough.",
        examples=[200],
    )
    part: str | None = Field(
        None, title="Part", description="Set by a batch for the runs that share its documents; otherwise left empty."
    )

    @property
    def minutes(self) -> float | None:
        """Minutes after the start at which no more pages are begun; None for no limit."""
        return min((each for each in (self.max_minutes, super().minutes) if each is not None), default=None)

    @field_validator("time_zone")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError(f"there is no time zone {name!r}; write it like Europe/Berlin") from None
        return name

    def ends_at(self, start: datetime) -> datetime | None:
        """Return the first `finish_by` after a start; None if it is not set."""
        if self.finish_by is None:
            return None
        local = start.astimezone(ZoneInfo(self.time_zone))
        end = local.replace(hour=self.finish_by.hour, minute=self.finish_by.minute, second=0, microsecond=0)
        return end if end > local else end + timedelta(days=1)

    def deadline(self, start: datetime) -> datetime | None:
        """Return when, after a start, no more pages are begun; None for no limit."""
        used_up = None if self.minutes is None else start + timedelta(minutes=self.minutes)
        return min((end for end in (used_up, self.ends_at(start)) if end is not None), default=None)

    def directory(self, settings: Settings) -> StoragePath:
        """Return where the results go."""
        return parse_path(self.output).absolute() if self.output else settings.output

    def job(self, document: StoragePath) -> Job:
        """Return the job of one document."""
        return Job(document=format_path(document), **self.model_dump(include=_OF_EACH))


_OF_EACH = set(Options.model_fields) - {"output_block", "max_usd", "finish_within"}
"""Options of each document; the others concern the batch as a whole."""


@dataclass(frozen=True)
class Source:
    """A document of a batch.

    Attributes:
        version: differs after a change: made of its size and the time of its last change, or S3's ETag; empty if it is
            missing, which is an error when it is read.
        size: in bytes; 0 if it is missing.
    """

    path: StoragePath
    version: str
    size: int = 0

    @property
    def name(self) -> str:
        """Its path as text."""
        return format_path(self.path)

    @classmethod
    def of(cls, path: Path) -> Source:
        """Return the document at a path of this machine."""
        try:
            stat = path.stat()
        except OSError:
            return cls(path, "")
        return cls(path, hashlib.sha256(f"{stat.st_size} {stat.st_mtime_ns}".encode()).hexdigest()[:16], stat.st_size)

    def is_fresh(self) -> bool:
        """Return whether it was changed so recently that it may still be incomplete."""
        if isinstance(self.path, S3Path):
            return False  # S3 shows complete objects only
        try:
            return abs(time.time() - self.path.stat().st_mtime) < _FRESH_SECONDS
        except OSError:
            return False


def find_documents(sources: Sequence[str], skipped: Skipped = lambda _: None) -> Iterator[Source]:
    """Yield the documents that a batch's sources name, each once, folders in the order of their names.

    Raises:
        InputError: a source is missing, or is no folder, document or list.
    """
    seen: set[StoragePath] = set()
    for source in sources:
        if not source.strip():  # an unset shell variable would mean the working directory
            raise InputError("A source of the batch is empty. Name a folder, a document or a list (.txt).")
        for found in _documents(parse_path(source).absolute(), skipped):
            if found.path not in seen:
                seen.add(found.path)
                yield found


def _documents(source: StoragePath, skipped: Skipped) -> Iterator[Source]:
    if isinstance(source, S3Path):
        yield from _in_s3(source, skipped)
    elif os.path.isdir(source):  # noqa: PTH112 - Path raises where a name is too long
        yield from map(Source.of, documents_below(source, skipped))
    elif is_document(source.name):
        if is_companion(source.name):
            skipped(f"{source} was not read: programs keep such files beside a document.")
        else:
            yield Source.of(source)
    elif source.suffix.lower() == _LIST and os.path.isfile(source):  # noqa: PTH113 - see above
        try:
            content = source.read_bytes()
        except OSError as error:
            raise InputError(f"{source} cannot be read: {error.strerror}. Correct the batch's sources.") from None
        yield from _listed(content, source, skipped)
    elif os.path.isfile(source):  # noqa: PTH113 - see above
        yield Source.of(source)  # opening it tells what it is, while the others are read
    else:
        raise InputError(f"{source} is no folder, no document and no list (.txt) of them. Correct the batch's sources.")


def _listed(content: bytes, source: StoragePath, skipped: Skipped) -> Iterator[Source]:
    """Yield the documents that a list names, one a line, relative ones beside it."""
    for place in paths_listed(content, source):
        yield from _documents(place, skipped)


def _in_s3(source: S3Path, skipped: Skipped) -> Iterator[Source]:
    from tasks.storage import s3_client as objects

    try:
        if is_document(source.name):
            found = objects.head(source)
            yield Source(source, found.etag, found.size) if found else Source(source, "")
        elif source.suffix.lower() == _LIST:
            listed = objects.get(source)
            if listed is None:
                raise InputError(f"{source} does not exist. Correct the batch's sources.")
            yield from _listed(listed.body, source, skipped)
        else:
            for each in objects.list_objects(source):
                if is_document(each.path.name) and not is_companion(each.path.name):
                    yield Source(each.path, each.etag, each.size)
    except CloudError as error:
        raise InputError(f"{source} cannot be read: {objects.advice(error)}, or correct the batch's sources.") from None
