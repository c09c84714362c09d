"""What a results directory knows of documents by their paths, so that those that have not changed are not opened."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from pydantic import ValidationError

from tasks.batch import Batch, Source
from tasks.errors import StorageError
from tasks.jobs import Frozen
from tasks.report import DocumentStatus, Row
from tasks.settings import Settings

_NAME = "documents.jsonl"


class Known(Frozen):
    """A document as it was read last.

    Attributes:
        path: the document's.
        version: see `Source`.
        request: tells apart what was asked of it.
        output: where its results are.
        pages: how many it has.
    """

    path: str
    version: str
    request: str
    output: str
    pages: int


class Shelf:
    """The documents that were read whole into one results directory: documents.jsonl, a line each, the last one counts.

    Args:
        output: the directory.
        batch: what is asked of its documents.
        settings: what is asked where the batch leaves it open.
    """

    def __init__(self, output: Path, batch: Batch, settings: Settings) -> None:
        self._path = output / _NAME
        self._force = batch.force
        asked = [batch.model, settings.model, batch.backend, settings.backend, batch.prompt, settings.read.model_dump()]
        self._request = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]
        self._known = {known.path: known for known in self._read()}

    def unchanged(self, source: Source) -> Row | None:
        """The row of a document that stands as it was read; None if it is new, has changed, or its results are gone."""
        known = self._known.get(str(source.path))
        if self._force or known is None or known.version != source.version or known.request != self._request:
            return None
        if not (Path(known.output) / "document.md").exists():
            return None
        return Row(document=known.path, status=DocumentStatus.UNCHANGED, pages=known.pages, output=known.output)

    def note(self, source: Source, row: Row) -> None:
        """Remember a document that was read whole.

        Raises:
            StorageError: it cannot be written.
        """
        if row.status not in {DocumentStatus.READ, DocumentStatus.UNCHANGED}:
            return
        known = Known(
            path=str(source.path), version=source.version, request=self._request, output=row.output, pages=row.pages
        )
        try:
            with self._path.open("a") as file:
                file.write(known.model_dump_json() + "\n")
        except OSError as error:
            raise StorageError(f"{self._path} cannot be written: {error.strerror}.") from None

    def _read(self) -> list[Known]:
        try:
            lines = self._path.read_text().splitlines()
        except FileNotFoundError:
            return []
        known = []
        for line in lines:
            try:
                known.append(Known.model_validate_json(line))
            except ValidationError:  # cut off when a run was killed
                continue
        return known
