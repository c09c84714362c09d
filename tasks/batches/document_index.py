"""What a results directory knows of documents by their paths, so that those that have not changed are not opened."""

from __future__ import annotations

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
from tasks.results.report import DocumentStatus, Row, text_of
from tasks.settings.settings import Settings
from tasks.storage.files import S3Path, StoragePath, entries, files_at, parse_path

INDEX = "documents.jsonl"
# S3 adds nothing to a file: it is written anew. A document that was not noted is opened again, and not read again.
_S3_SECONDS = 10.0


class IndexEntry(Frozen):
    """A document as it was read last.

    Attributes:
        path: the document's.
        version: see `Source`.
        request: tells apart what was asked of it.
        output: where its results are.
        pages: how many it has.
        left: those that are not read.
    """

    path: str
    version: str
    request: str
    output: str
    pages: int
    left: int = 0


class DocumentIndex:
    """The documents that were read into one results directory: documents.jsonl, a line each, the last one counts.

    Use as an async context manager, that nothing is left unsaved.

    Args:
        output: the directory.
        batch: what is asked of its documents.
        settings: what is asked where the batch leaves it open.
    """

    def __init__(self, output: StoragePath, batch: Batch, settings: Settings) -> None:
        self._output = output
        self._files = files_at(output)
        self._unsaved: list[str] = []
        self._next_save = 0.0
        self._force = batch.force
        self.pages = batch.pages
        asked: list[object] = [
            batch.model,
            settings.model,
            batch.backend,
            settings.backend,
            batch.prompt,
            settings.read.model_dump(),
        ]
        # Of what earlier versions did not know nothing is said where it is not asked for: what they noted stays known.
        more = {"pages", "longest_side", "num_ctx", "num_predict"}
        asked += [named] if (named := batch.model_dump(include=more, exclude_none=True)) else []
        self._request = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]
        self._known = {known.path: known for known in entries(self._files, INDEX, IndexEntry)}

    def unchanged(self, source: Source) -> Row | None:
        """The row of a document that stands as it was read; None if it is new, has changed, or its results are gone."""
        known = self._stands(source)
        if known is None or known.left:
            return None
        return Row(
            document=known.path,
            status=DocumentStatus.UNCHANGED,
            pages=known.pages,
            output=known.output,
            text=text_of(parse_path(known.output)),
        )

    def left(self, source: Source) -> int | None:
        """How many of its pages are still to be read; None if that is not known."""
        known = self._stands(source)
        return None if known is None else known.left

    def note(self, source: Source, row: Row) -> None:
        """Remember a document that was read, or some of it.

        Raises:
            StorageError: it cannot be written.
        """
        if not row.output:
            return
        known = IndexEntry(
            path=source.name,
            version=source.version,
            request=self._request,
            output=row.output,
            pages=row.pages,
            left=row.left,
        )
        self._unsaved.append(known.model_dump_json() + "\n")
        if time.monotonic() >= self._next_save:
            self.save()

    def save(self) -> None:
        """Write what is not written yet.

        Raises:
            StorageError: it cannot be written.
        """
        if self._unsaved:
            self._files.append(INDEX, "".join(self._unsaved))
            self._unsaved.clear()
        self._next_save = time.monotonic() + (_S3_SECONDS if isinstance(self._output, S3Path) else 0.0)

    async def __aenter__(self) -> Self:
        """Nothing is to be done."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what is left."""
        await asyncio.to_thread(self.save)

    def _stands(self, source: Source) -> IndexEntry | None:
        """What is known of a document, if nothing has changed since."""
        known = self._known.get(source.name)
        if self._force or known is None or known.version != source.version or known.request != self._request:
            return None
        return known if self._stand(known.output) else None

    def _stand(self, results: str) -> bool:
        if results.startswith("/"):  # without a path of each: an inbox may hold the documents of years
            return os.path.exists(f"{results}/document.md")  # noqa: PTH110 - see above
        place = parse_path(results)
        if isinstance(place, Path):
            return (place / "document.md").exists()
        # Some of them are there: to look at every one would be a request a document.
        return place in self._folders

    @cached_property
    def _folders(self) -> set[S3Path]:
        from tasks.storage import s3_client as objects

        return set(objects.list_folders(self._output)) if isinstance(self._output, S3Path) else set()
