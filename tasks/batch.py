"""What is asked of a batch, and where its documents are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydantic import Field, model_validator

from tasks.errors import InputError
from tasks.jobs import BackendName, Frozen, Job
from tasks.settings import Settings

_PDF = ".pdf"
_LIST = ".txt"


class Batch(Frozen):
    """What is asked for: the parameters of the flow `process_batch`, and its form in the UI.

    A field left empty takes the worker's setting (HEARTH_*).
    """

    sources: tuple[str, ...] = Field(
        min_length=1,
        title="Sources",
        description="Folders (all PDFs below them), PDFs, and lists (.txt, a path a line), on the machine that runs "
        "the flow.",
        examples=[["/data/inbox"]],
    )
    output: str | None = Field(None, title="Output", description="Directory of the results.")
    backend: BackendName | None = Field(None, title="Backend", description="Where the model runs.")
    model: str | None = Field(None, title="Model", description="Ollama's name for it; the backend's default if empty.")
    prompt: str | None = Field(None, title="Prompt", description="What the model is told about each page image.")
    slots: int | None = Field(None, ge=1, le=256, title="Slots", description="Pages in flight at once, at the most.")
    attempts: int | None = Field(None, ge=1, le=20, title="Attempts", description="At each page, at the most.")
    force: bool = Field(False, title="Force", description="Read again what has been read before.")
    max_usd: float | None = Field(
        None, gt=0, title="Budget, USD", description="No page is begun when the machines have cost so much."
    )
    max_minutes: float | None = Field(
        None, gt=0, title="Budget, minutes", description="No page is begun so long after the start."
    )
    finish_by: datetime | None = Field(
        None, title="Finish by", description="No page is begun after this time; with its time zone."
    )

    @model_validator(mode="after")
    def _zoned(self) -> Batch:
        if self.finish_by is not None and self.finish_by.tzinfo is None:
            raise ValueError("finish_by needs a time zone, as in 2026-12-01T06:00:00+01:00")
        return self

    def directory(self, settings: Settings) -> Path:
        """Where the results go."""
        return Path(self.output).expanduser().absolute() if self.output else settings.output

    def job(self, document: Path) -> Job:
        """What is asked of one document."""
        shared = {"output", "backend", "model", "prompt", "slots", "attempts", "force"}
        return Job(document=str(document), **self.model_dump(include=shared))


@dataclass(frozen=True)
class Source:
    """A document of a batch, and what tells whether it has changed: its size and the time of its last change."""

    path: Path
    version: str

    @classmethod
    def of(cls, path: Path) -> Source:
        """The document at a path; one that is missing is found out when it is read."""
        try:
            stat = path.stat()
        except OSError:
            return cls(path, "")
        return cls(path, hashlib.sha256(f"{stat.st_size} {stat.st_mtime_ns}".encode()).hexdigest()[:16])


def find_documents(sources: Sequence[str]) -> Iterator[Source]:
    """The documents that a batch's sources name, each once, folders in the order of their names.

    Raises:
        InputError: a source is missing, or is nothing that can be searched for PDFs.
    """
    seen: set[Path] = set()
    for source in sources:
        for path in _paths(Path(source).expanduser()):
            found = path.absolute()
            if found not in seen:
                seen.add(found)
                yield Source.of(found)


def _paths(source: Path) -> Iterator[Path]:
    if source.is_dir():
        yield from sorted(path for path in source.rglob("*") if path.suffix.lower() == _PDF and path.is_file())
    elif source.suffix.lower() == _PDF:
        yield source
    elif source.suffix.lower() == _LIST and source.is_file():
        for line in source.read_text().splitlines():
            if line.strip() and not line.startswith("#"):
                yield from _paths(source.parent / Path(line.strip()).expanduser())
    else:
        raise InputError(f"{source} is no folder, no PDF and no list (.txt) of them. Correct the batch's sources.")
