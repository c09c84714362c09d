"""What the HTTP API is sent: a PDF, streamed to disk and kept under its sha256, and options as query parameters."""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
import time
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydantic import ValidationError

from flows.api.records import flush_names
from tasks.core.errors import HearthError, InputError, LimitError
from tasks.core.jobs import Job, Plan
from tasks.runs.prepare import prepare
from tasks.settings.settings import Settings

# Where things are is the backend's affair; and Prefect's blocks are not for whoever may send a PDF.
_NOT_OPTIONS = {"document", "output", "output_block", "password_block"}
_LEFTOVER_SECONDS = 24 * 3600.0


def parameters() -> list[dict[str, Any]]:
    """The options, as OpenAPI describes query parameters."""
    properties = Job.model_json_schema()["properties"]
    return [
        {"name": name, "in": "query", "required": False, "description": facts["description"], "schema": facts}
        for name, facts in properties.items()
        if name not in _NOT_OPTIONS
    ]


def job_from(query: Iterable[tuple[str, str]], password_variables: Iterable[str]) -> Job:
    """The job that query parameters describe; its document is still to come.

    Raises:
        InputError: one is wrong, unknown or given twice.
    """
    given: dict[str, str] = {}
    for name, value in query:
        if name in given:
            raise InputError(f"The parameter {name} is given twice. Give it once.")
        if name not in Job.model_fields or name in _NOT_OPTIONS:
            raise InputError(f"There is no parameter {name!r}. docs/api.md lists those that there are.")
        given[name] = value
    try:
        job = Job.model_validate({**given, "document": ""})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InputError(f"The parameter {first['loc'][0]} is wrong: {first['msg']}.") from None
    if job.password_env is not None and job.password_env not in password_variables:
        raise InputError(f"password_env may not name {job.password_env!r}. API_PASSWORD_VARIABLES lists what it may.")
    return job


class Upload:
    """A document that is being received. Use as a context manager: what is not kept is gone at its end.

    Args:
        directory: where it will be kept.
        settings: for its limits.

    Attributes:
        is_new: whether it was not kept before.
    """

    def __init__(self, directory: Path, settings: Settings) -> None:
        self._directory = directory
        self._settings = settings
        self._most = settings.limits.file_mb * 1_000_000
        self._digest = hashlib.sha256()
        self.is_new = False

    def __enter__(self) -> Self:
        """Open a file for it."""
        self._file = tempfile.NamedTemporaryFile(dir=self._directory, prefix=".", suffix=".tmp", delete=False)
        self._path = Path(self._file.name)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove what was not kept."""
        self._file.close()
        self._path.unlink(missing_ok=True)

    async def receive(self, chunks: AsyncIterator[bytes], announced: str | None) -> None:
        """Write what comes.

        Args:
            chunks: the body.
            announced: its Content-Length, if there is one.

        Raises:
            LimitError: it is, or will be, too large.
        """
        size = int(announced) if announced is not None and announced.isdecimal() else 0
        self._check(size)
        received = 0
        async for chunk in chunks:
            received += len(chunk)
            self._check(received)
            self._digest.update(chunk)
            self._file.write(chunk)
        self._file.flush()
        await asyncio.to_thread(os.fsync, self._file.fileno())

    async def check(self, job: Job) -> Plan:
        """Find out whether it can be read as the job says, and what would be.

        Raises:
            HearthError: it cannot.
        """
        job = job.model_copy(update={"document": str(self._path)})
        try:
            # In a thread, since opening a large PDF takes its time.
            prepared = await asyncio.to_thread(lambda: asyncio.run(prepare(job, self._settings)))
        except HearthError as error:
            raise type(error)(str(error).replace(str(self._path), "The document")) from None
        prepared.file.close()
        return prepared.plan

    def keep(self) -> tuple[Path, str]:
        """Keep it on disk; where, and its sha256. The same bytes are kept once."""
        sha256 = self._digest.hexdigest()
        path = self._directory / f"{sha256}.pdf"
        if not path.exists():
            self._path.chmod(0o644)  # the worker may be another user
            self._path.replace(path)
            flush_names(self._directory)
            self.is_new = True
        return path, sha256

    def _check(self, size: int) -> None:
        if size > self._most:
            raise LimitError(f"The document is larger than {self._settings.limits.file_mb} MB, the limit. Split it.")


def clear_leftovers(directory: Path) -> None:
    """Remove what a backend that was killed had half received. Others may be receiving: only what is old goes."""
    for leftover in directory.glob(".*.tmp"):
        if leftover.stat().st_mtime < time.time() - _LEFTOVER_SECONDS:
            leftover.unlink(missing_ok=True)
