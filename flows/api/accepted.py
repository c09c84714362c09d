"""Requests that were accepted and are not yet runs of Prefect: a small file each, and what changes it.

Each change is made alone: several processes may work over one directory.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from uuid import UUID

from prefect.client.schemas.objects import FlowRun
from pydantic import ValidationError

from flows.api.records import Locks, Record, write_whole
from flows.api.runs import Runs
from flows.api.uploads import safe_filename
from flows.orchestrator.trigger import Asked, generation_of
from tasks.core.jobs import Document, Frozen, Job
from tasks.results.store import results_directory
from tasks.storage.file_locks import take_exclusive


class Request(Frozen):
    """A request that was accepted.

    Attributes:
        id: by which the API knows it.
        job: as the deployment is given it.
        key: what requests for the same have in common.
        document: the document that was found usable.
        pages: those that were asked for.
        first: the generation to begin with.
        filename: what its client calls the document, if that is known.
    """

    id: UUID
    job: Job
    key: str
    document: Document
    pages: str
    created: datetime
    first: int = 0
    filename: str | None = None

    def record(self, run: FlowRun | None = None) -> Record:
        """What is remembered of it before, and after it became a run."""
        job = self.job if run is None else Job.model_validate(run.parameters["job"])
        # One of before may have read it under another name, and has a directory of its own if it was forced.
        document = self.document.model_copy(update={"path": Path(job.document)})
        called = safe_filename(Path(job.document).name)
        return Record(
            id=self.id,
            run=run and run.id,
            sha256=document.sha256,
            pages=self.pages,
            output=Path(str(results_directory(Path(job.output or ""), document))),
            created=min(self.created, (run and run.created) or self.created),
            generation=generation_of(run) if run else self.first,
            filename=self.filename if called == f"{document.sha256}.pdf" else called,
        )

    def asked(self, owner: str) -> Asked:
        """How a run for it is asked for."""
        return Asked(self.key, owner, str(self.id), self.first)

    @property
    def place(self) -> str:
        """Where below `results` those of requests for the same are."""
        return self.key[:32]


class Accepted:
    """Their files. Each method waits for others that change the same, and for the disk.

    Args:
        directory: of the files; it exists.
        runs: where each has a record, too.
        locks: of the requests for a document.
    """

    def __init__(self, directory: Path, runs: Runs, locks: Locks) -> None:
        self.directory = directory
        self._runs = runs
        self._locks = locks

    def add(self, request: Request, after: Record | None) -> bool:
        """Keep a request, unless another for the same came after the one that the caller knows of."""
        with self._turn(request.document.sha256):
            last = self._runs.index.latest(request.place)
            if (last and last.id) != (after and after.id):
                return False
            write_whole(self._path(request.id), request.model_dump_json(exclude_none=True))
            self._runs.remember(request.record())
        return True

    def holds(self, request: UUID) -> bool:
        """Whether a request waits."""
        return self._path(request).exists()

    def all(self) -> list[Request]:
        """Those that wait, the oldest first."""
        return requests_in(self.directory)

    def submitted(self, request: Request, run: FlowRun) -> bool:
        """Note what it became; False if it was taken out meanwhile."""
        with self._turn(request.document.sha256):
            if not self.holds(request.id):
                return False
            self._runs.remember(request.record(run))
            self.remove(request.id)
        return True

    def take_out(self, record: Record) -> bool:
        """Cancel a request that waits; False if it is a run by now, or was deleted."""
        with self._turn(record.sha256):
            known = self._runs.record(record.id)
            if known is None or known.run is not None:
                return False
            self._runs.remember(known.model_copy(update={"cancelled": True}))
            self.remove(record.id)
        return True

    def delete(self, record: Record) -> None:
        """Forget a request that has ended."""
        with self._turn(record.sha256):
            self.remove(record.id)
            self._runs.forget(record.id)

    def found_out(self, request: Request, run: FlowRun) -> None:
        """Note a run that Prefect had made of a request before it was taken out."""
        with self._turn(request.document.sha256):
            if (known := self._runs.record(request.id)) is not None:
                self._runs.remember(known.model_copy(update={"run": run.id}))

    def remove(self, request: UUID) -> None:
        """Have it wait no longer."""
        self._path(request).unlink(missing_ok=True)

    def _path(self, request: UUID) -> Path:
        return self.directory / f"{request}.json"

    @contextmanager
    def _turn(self, sha256: str) -> Iterator[None]:
        lease = take_exclusive(self._locks.of_requests(sha256))
        try:
            yield
        finally:
            lease.release()


def requests_in(directory: Path) -> list[Request]:
    """Those that wait, the oldest first."""
    found = [each for path in directory.glob("*.json") if (each := _read(path)) is not None]
    return sorted(found, key=lambda request: request.created)


def _read(path: Path) -> Request | None:
    try:
        return Request.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
