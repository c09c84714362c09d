"""Requests that were accepted and are not yet flow runs: a small file each, and what changes it.

Each change is made under a lock, since several processes may share one directory.
"""

from datetime import datetime
from pathlib import Path
from uuid import UUID

from prefect.client.schemas.objects import FlowRun

from flows.api.records import Locks, Record, read_model, write_whole
from flows.api.runs import Runs
from flows.api.uploads import safe_filename
from flows.orchestrator.trigger import RunRequest, generation_of
from tasks.core.file_locks import FileLock, take_exclusive
from tasks.core.jobs import Document, Frozen, Job
from tasks.results.store import results_directory


class Request(Frozen):
    """A request that was accepted.

    Attributes:
        id: the API's id of it.
        job: the deployment's parameter.
        key: the same for equal requests.
        document: the document, which can be read.
        pages: the requested pages.
        first: the generation to begin with.
        filename: the client's name for the document, if it sent one.
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
        """Return its record before, or after it became a flow run."""
        job = self.job if run is None else Job.model_validate(run.parameters["job"])
        # An earlier run may have read it under another name, and has a directory of its own if it was forced.
        document = self.document.model_copy(update={"path": Path(job.document)})
        name = safe_filename(Path(job.document).name)
        return Record(
            id=self.id,
            run=run and run.id,
            sha256=document.sha256,
            pages=self.pages,
            output=Path(str(results_directory(Path(job.output or ""), document))),
            created=min(self.created, (run and run.created) or self.created),
            generation=generation_of(run) if run else self.first,
            filename=self.filename if name == f"{document.sha256}.pdf" else name,
        )

    def asked(self, owner: str) -> RunRequest:
        """Return how its flow run is requested from Prefect."""
        return RunRequest(self.key, owner, str(self.id), self.first)

    @property
    def folder(self) -> str:
        """The folder below `results` for equal requests."""
        return self.key[:32]


class Accepted:
    """The accepted requests. Each method waits for the disk, and for others that change the same request.

    Args:
        directory: of their files; it exists.
        runs: the records, which every request has, too.
        locks: by document.
    """

    def __init__(self, directory: Path, runs: Runs, locks: Locks) -> None:
        self.directory = directory
        self._runs = runs
        self._locks = locks

    def add(self, request: Request, after: Record | None) -> bool:
        """Store a request, and return True, unless an equal one came after the one that the caller knows of."""
        with self._lock(request.document.sha256):
            last = self._runs.index.latest(request.folder)
            if (last and last.id) != (after and after.id):
                return False
            write_whole(self._path(request.id), request.model_dump_json(exclude_none=True))
            self._runs.store(request.record())
        return True

    def is_waiting(self, request: UUID) -> bool:
        """Return whether a request is in the queue."""
        return self._path(request).exists()

    def waiting(self) -> list[Request]:
        """Return the requests in the queue, oldest first."""
        return requests_in(self.directory)

    def submitted(self, request: Request, run: FlowRun) -> bool:
        """Record the flow run of a request, and return True unless the request was withdrawn meanwhile."""
        with self._lock(request.document.sha256):
            if not self.is_waiting(request.id):
                return False
            self._runs.store(request.record(run))
            self.remove(request.id)
        return True

    def withdraw(self, record: Record) -> bool:
        """Cancel a waiting request; return False if it is already a flow run, or was deleted."""
        with self._lock(record.sha256):
            current = self._runs.record(record.id)
            if current is None or current.run is not None:
                return False
            self._runs.store(current.model_copy(update={"cancelled": True}))
            self.remove(record.id)
        return True

    def delete(self, record: Record) -> None:
        """Delete a request that has ended, with its record."""
        with self._lock(record.sha256):
            self.remove(record.id)
            self._runs.remove(record.id)

    def record_run(self, request: Request, run: FlowRun) -> None:
        """Record a flow run that Prefect made of a request before it was withdrawn."""
        with self._lock(request.document.sha256):
            if (record := self._runs.record(request.id)) is not None:
                self._runs.store(record.model_copy(update={"run": run.id}))

    def remove(self, request: UUID) -> None:
        """Remove a request from the queue."""
        self._path(request).unlink(missing_ok=True)

    def _path(self, request: UUID) -> Path:
        return self.directory / f"{request}.json"

    def _lock(self, sha256: str) -> FileLock:
        return take_exclusive(self._locks.of_requests(sha256))


def requests_in(directory: Path) -> list[Request]:
    """Return the requests in a directory, oldest first."""
    found = (read_model(path, Request) for path in directory.glob("*.json"))
    return sorted(filter(None, found), key=lambda request: request.created)
