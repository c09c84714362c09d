"""Requests that were accepted and are not flow runs yet, each a small file.

They are changed under a lock, because several processes may share one directory.
"""

from datetime import datetime
from pathlib import Path
from uuid import UUID

from prefect.client.schemas.objects import FlowRun

from flows.api.records import Record, read_model, write_whole
from flows.api.runs import Runs
from flows.api.uploads import safe_filename
from flows.orchestrator.trigger import RunRequest, generation_of
from tasks.core.file_locks import FileLock, take_exclusive
from tasks.core.jobs import Document, Frozen, Job
from tasks.core.private import make_directory
from tasks.results.store import results_directory


class Request(Frozen):
    """A request that was accepted.

    Attributes:
        id: the API's id of the request.
        job: the parameter of the deployment.
        key: equal requests have the same key.
        document: the document, which was opened and can be read.
        pages: the requested pages.
        first: the first generation to consider; see `flows.orchestrator.trigger`.
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
        """Return its record: before it has a flow run, or with that."""
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
            filename=self.filename if Path(job.document).stem == document.sha256 else name,
        )

    def run_request(self, owner: str) -> RunRequest:
        """Return the request for its flow run in Prefect."""
        return RunRequest(self.key, owner, str(self.id), self.first)

    @property
    def folder(self) -> str:
        """The folder below `results` for equal requests."""
        return self.key[:32]


class Accepted:
    """The accepted requests in an existing directory.

    Each method waits for the disk, and for others that change the same request.
    """

    def __init__(self, directory: Path, runs: Runs) -> None:
        self.directory = directory
        self._runs = runs
        self._locks = directory.parent / "locks"
        make_directory(self._locks)

    def add(self, request: Request, after: Record | None) -> bool:
        """Store a request, and return True, unless an equal one was stored after the one that the caller knows."""
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

    def record_submitted(self, request: Request, run: FlowRun) -> bool:
        """Record the flow run of a request, and return True unless the request was withdrawn before."""
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
        """Record a flow run that Prefect created for a request before it was withdrawn."""
        with self._lock(request.document.sha256):
            if (record := self._runs.record(request.id)) is not None:
                self._runs.store(record.model_copy(update={"run": run.id}))

    def remove(self, request: UUID) -> None:
        """Remove a request from the queue."""
        self._path(request).unlink(missing_ok=True)

    def _path(self, request: UUID) -> Path:
        return self.directory / f"{request}.json"

    def document_lock(self, sha256: str) -> Path:
        """Return the lock that posts of a document share, and that its deletion takes exclusively.

        Several documents have the same lock, so that there are few files.
        """
        return self._locks / sha256[:3]

    def _lock(self, sha256: str) -> FileLock:
        return take_exclusive(self._locks / f"{sha256[:3]}.requests")


def requests_in(directory: Path) -> list[Request]:
    """Return the requests in a directory, oldest first."""
    found = (read_model(path, Request) for path in directory.glob("*.json"))
    return sorted(filter(None, found), key=lambda request: request.created)
