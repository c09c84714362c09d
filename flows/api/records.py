"""Records of the HTTP API's runs: a small file each, durably written, and locks by document."""

import os
import uuid
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from pydantic import BaseModel, Field, ValidationError, model_validator

from tasks.core.jobs import Frozen
from tasks.core.private import create_file, make_directory
from tasks.documents.pdf import select_pages

M = TypeVar("M", bound=BaseModel)


class Record(Frozen):
    """A run as the backend stores it.

    Attributes:
        id: the API's id of it; a request that follows a failed one has another.
        run: Prefect's id of it; None while it waits in the queue, and if it was cancelled there.
        sha256: the document's.
        pages: the requested pages, such as 1-12.
        output: the directory of the results.
        created: when it was accepted, or when its flow run was created, if that was earlier.
        generation: part of its idempotency key; see `flows.orchestrator.trigger`.
        filename: the client's name for the document, if it sent one.
        cancelled: whether it was removed from the queue.
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
        """Read a record of an earlier version, which has Prefect's id alone."""
        return facts if not isinstance(facts, dict) or "run" in facts else {**facts, "run": facts.get("id")}

    @property
    def numbers(self) -> tuple[int, ...]:
        """The requested pages."""
        return parse_ranges(self.pages)


def read_model(path: Path, kind: type[M]) -> M | None:
    """Read a record, request or webhook; None if its file is missing, unreadable or damaged."""
    try:
        return kind.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def format_ranges(numbers: Iterable[int]) -> str:
    """Return page numbers in the format of `Job.pages`, such as 1-3,7; empty for none."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and parts[-1][-1] == number - 1:
            parts[-1] = [parts[-1][0], number]
        else:
            parts.append([number])
    return ",".join("-".join(map(str, part)) for part in parts)


def parse_ranges(text: str, most: int = 999_999) -> tuple[int, ...]:
    """Return the page numbers that `format_ranges` wrote, none over `most`.

    Raises:
        InputError: the text has another format.
    """
    return select_pages(text, most) if text else ()


def write_whole(path: Path, text: str) -> None:
    """Write a file whole or not at all, so that it survives a power failure."""
    temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        with create_file(temporary) as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Write the names of a directory's files to disk."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Locks:
    """The locks of an API_DIRECTORY, by a document's sha256. Several documents share one, so that there are few files.

    Args:
        directory: API_DIRECTORY.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory / "locks"
        make_directory(self._directory)

    def of_document(self, sha256: str) -> Path:
        """Return the lock that posts of a document share, and its deletion takes exclusively."""
        return self._directory / sha256[:3]

    def of_requests(self, sha256: str) -> Path:
        """Return the lock for short changes of records and queued requests for a document."""
        return self._directory / f"{sha256[:3]}.requests"
