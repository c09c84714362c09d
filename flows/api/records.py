"""What the HTTP API remembers of a run in a small file, and how it writes page numbers and files."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import Field, model_validator

from tasks.core.jobs import Frozen
from tasks.core.private import create_file, make_directory
from tasks.documents.pdf import select_pages


class Record(Frozen):
    """A run as the backend remembers it.

    Attributes:
        id: by which the API knows it; a request that follows a failed one has another.
        run: Prefect's; None as long as it waits in the queue, and of one that was cancelled there.
        sha256: the document's.
        pages: those that were asked for, such as 1-12.
        output: the directory of the results.
        created: when it was accepted, or its run was made, if that was before.
        generation: of its idempotency key; see `flows.orchestrator.trigger`.
        filename: what its client calls the document, if that is known.
        cancelled: it was taken out of the queue.
    """

    id: UUID
    run: UUID | None
    sha256: str
    pages: str
    output: Path
    created: datetime
    generation: int = 0
    filename: str | None = Field(None, exclude_if=lambda name: name is None)
    cancelled: bool = False

    @model_validator(mode="before")
    @classmethod
    def _from_before(cls, facts: Any) -> Any:  # noqa: ANN401 - pydantic's
        """Earlier versions knew a run by Prefect's id alone."""
        return facts if not isinstance(facts, dict) or "run" in facts else {**facts, "run": facts.get("id")}

    @property
    def numbers(self) -> tuple[int, ...]:
        """The pages that were asked for."""
        return numbers_in(self.pages)


def ranges(numbers: Iterable[int]) -> str:
    """Page numbers as `Job.pages` writes them, such as 1-3,7; nothing for none."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and parts[-1][-1] == number - 1:
            parts[-1] = [parts[-1][0], number]
        else:
            parts.append([number])
    return ",".join("-".join(map(str, part)) for part in parts)


def numbers_in(told: str, most: int = 999_999) -> tuple[int, ...]:
    """The numbers that `ranges` wrote, none over `most`.

    Raises:
        InputError: it did not.
    """
    return select_pages(told, most) if told else ()


def write_whole(path: Path, text: str) -> None:
    """Write a file whole or not at all, so that it is there after a power failure."""
    temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        with create_file(temporary) as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    flush_names(path.parent)


def flush_names(directory: Path) -> None:
    """Have the names of a directory's files on disk, as their contents are."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Locks:
    """The locks of an API_DIRECTORY, by a document's sha256. Several documents share one, so that they stay few.

    Args:
        directory: API_DIRECTORY.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory / "locks"
        make_directory(self._directory)

    def of_document(self, sha256: str) -> Path:
        """Held with others by who posts a document, and alone by who deletes what is kept of it."""
        return self._directory / sha256[:3]

    def of_requests(self, sha256: str) -> Path:
        """Held alone, for a moment, by who changes what is remembered or queued of requests for a document."""
        return self._directory / f"{sha256[:3]}.requests"
