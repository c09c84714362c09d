"""What the HTTP API remembers of a run in a small file, and how it writes page numbers and files."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from uuid import UUID

from pydantic import Field

from tasks.core.jobs import Frozen
from tasks.core.private import create
from tasks.documents.pdf import select_pages


class Record(Frozen):
    """A run as the backend remembers it.

    Attributes:
        sha256: the document's.
        pages: those that were asked for, such as 1-12.
        output: the directory of the results.
        filename: what its client calls the document, if that is known.
    """

    id: UUID
    sha256: str
    pages: str
    output: Path
    created: datetime
    filename: str | None = Field(None, exclude_if=lambda name: name is None)

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


def numbers_in(told: str) -> tuple[int, ...]:
    """The numbers that `ranges` wrote.

    Raises:
        InputError: it did not.
    """
    return select_pages(told, 999_999) if told else ()


def write_whole(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
    with create(temporary) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
