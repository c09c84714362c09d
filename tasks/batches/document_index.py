"""An index of the documents that were read into a results directory, so that unchanged ones are not opened."""

import asyncio
import hashlib
import json
import os
import time
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

from tasks.batches.batch import Batch, Source
from tasks.core.jobs import Frozen
from tasks.results.rows import DocumentStatus, Row, data_of, text_of
from tasks.settings.reading import OVERRIDES
from tasks.settings.settings import Settings
from tasks.storage.files import S3Path, StoragePath, entries, files_at, parse_path

INDEX = "documents.jsonl"
_OF_TEXT = {"prompt", "longest_side", "num_ctx", "num_predict", "attempts"}
_FORMER_TIMES = {"timeout_seconds": 300, "timeout_least_seconds": 30, "retry_seconds": 60}
"""Settings on which entries of earlier versions also depend, at their defaults then. They do not change the text."""
_S3_SECONDS = 10.0
"""How often the index is saved in S3, where it is written anew. A document missing from it is only opened again."""


class IndexEntry(Frozen):
    """A document as it was read last.

    Attributes:
        request: identifies how it was to be read.
    """

    path: str
    version: str
    request: str
    output: str
    pages: int
    left: int = 0


class DocumentIndex:
    """The documents that were read into a results directory: a line each in documents.jsonl, of which the last counts.

    Use as an async context manager, which saves it at the end. The settings count for what the batch leaves empty.
    """

    def __init__(self, output: StoragePath, batch: Batch, settings: Settings) -> None:
        self._output = output
        self._files = files_at(output)
        self._unsaved: list[str] = []
        self._next_save = 0.0
        self._force = batch.force
        self._has_data = batch.json_schema is not None
        self.pages = batch.pages
        request: list[object] = [
            batch.model,
            settings.model,
            batch.backend,
            settings.backend,
            batch.prompt,
            {**settings.read.model_dump(include=_OF_TEXT), **_FORMER_TIMES},
        ]
        # Newer options are left out where they are not set, so that entries of earlier versions still match.
        named = settings.read.model_dump(mode="json", include={*OVERRIDES, "profile"}, exclude_none=True)
        named |= {"languages": settings.languages} if settings.languages else {}
        more = {"pages", "longest_side", "num_ctx", "num_predict", "profile", "headers", "pictures", "json_schema"}
        more |= {"languages", "turn", "straighten"}
        named |= batch.model_dump(mode="json", include=more, exclude_none=True)
        request += [named] if named else []
        self._request = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()[:16]
        self._entries = {entry.path: entry for entry in entries(self._files, INDEX, IndexEntry)}

    def unchanged(self, source: Source) -> Row | None:
        """Return the row of an unchanged document; None if it is new, has changed, or its results are gone."""
        entry = self._stands(source)
        if entry is None or entry.left:
            return None
        return Row(
            document=entry.path,
            status=DocumentStatus.UNCHANGED,
            pages=entry.pages,
            output=entry.output,
            text=text_of(parse_path(entry.output)),
            data=data_of(parse_path(entry.output)) if self._has_data else "",
        )

    def left(self, source: Source) -> int | None:
        """Return how many pages of a document are still to be read; None if that is not known."""
        entry = self._stands(source)
        return None if entry is None else entry.left

    def note(self, source: Source, row: Row) -> None:
        """Add a document that was read, or a part of it.

        Raises:
            StorageError: it cannot be written.
        """
        if not row.output:
            return
        entry = IndexEntry(
            path=source.name,
            version=source.version,
            request=self._request,
            output=row.output,
            pages=row.pages,
            left=row.left,
        )
        self._unsaved.append(entry.model_dump_json() + "\n")
        if time.monotonic() >= self._next_save:
            self.save()

    def save(self) -> None:
        """Write the entries that are not saved.

        Raises:
            StorageError: it cannot be written.
        """
        if self._unsaved:
            self._files.append(INDEX, "".join(self._unsaved))
            self._unsaved.clear()
        self._next_save = time.monotonic() + (_S3_SECONDS if isinstance(self._output, S3Path) else 0.0)

    async def __aenter__(self) -> Self:
        """Return the index."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Save it."""
        await asyncio.to_thread(self.save)

    def _stands(self, source: Source) -> IndexEntry | None:
        """Return the entry of a document, if nothing has changed since and its results exist."""
        entry = self._entries.get(source.name)
        if self._force or entry is None or entry.version != source.version or entry.request != self._request:
            return None
        return entry if self._exist(entry.output) else None

    def _exist(self, results: str) -> bool:
        if results.startswith("/"):  # as text: an inbox may hold the documents of years
            return os.path.exists(f"{results}/document.md")  # noqa: PTH110 - see above
        place = parse_path(results)
        if isinstance(place, Path):
            return (place / "document.md").exists()
        # Some of its files exist: checking each document would take a request each.
        return place in self._folders

    @cached_property
    def _folders(self) -> set[S3Path]:
        from tasks.storage import s3_client as objects

        return set(objects.list_folders(self._output)) if isinstance(self._output, S3Path) else set()
