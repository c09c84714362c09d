"""Records of the HTTP API's runs, each a small file that is written durably."""

import os
import uuid
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from pydantic import BaseModel, Field, ValidationError, model_validator

from tasks.core.jobs import Frozen
from tasks.core.private import create_file

M = TypeVar("M", bound=BaseModel)


class Record(Frozen):
    """A run as the backend stores it.

    Attributes:
        id: the API's id; a request that follows a failed one has another.
        run: Prefect's id; None while the request waits in the queue, and if it was cancelled there.
        sha256: the document's hash.
        pages: the requested pages, such as 1-12.
        output: the directory of the results.
        created: when the request was accepted, or when its flow run was created, if that was earlier.
        generation: part of the run's idempotency key; see `flows.orchestrator.trigger`.
        filename: the client's name for the document, if it sent one.
        cancelled: whether it was cancelled in the queue.
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


def read_model(path: Path, kind: type[M]) -> M | None:
    """Read a record, request or webhook; None if its file is missing, unreadable or damaged."""
    try:
        return kind.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


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
