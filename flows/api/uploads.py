"""What the HTTP API is sent: a PDF, streamed to disk and kept under its sha256, and options as query parameters."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import shutil
import tempfile
import time
import unicodedata
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from pydantic import ValidationError

from flows.api.records import flush_names
from tasks.core.errors import HearthError, InputError, LimitError
from tasks.core.escaping import escape_line, escape_surrogates
from tasks.core.jobs import Job, Plan
from tasks.core.private import make_directory, open_private
from tasks.runs.prepare import prepare
from tasks.settings.settings import Settings

_ENDING = ".pdf"
_BYTES = 180
"""File systems allow 255 a name, and what is made of this one gets longer."""
# Where things are is the backend's affair; and Prefect's blocks are not for whoever may send a PDF.
_NOT_OPTIONS = {"document", "output", "output_block", "password_block"}
_OWN = {
    "filename": {
        "type": "string",
        "title": "File name",
        "description": "What the document is called: its run is named so. The name of a form's file if empty.",
        "examples": ["paper.pdf"],
    },
    "webhook": {
        "type": "string",
        "title": "Webhook",
        "description": "Address to which a signed message is posted when the run has ended.",
        "examples": ["https://example.com/hook"],
    },
}
_LEFTOVER_SECONDS = 24 * 3600.0
_NAMES = 16
"""Of one document at the most: whoever posts it chooses them."""


class Posted(NamedTuple):
    """What a post asks for beside its document."""

    job: Job
    webhook: str | None
    filename: str | None


def parameters() -> list[dict[str, Any]]:
    """The options, as OpenAPI describes query parameters."""
    properties = _OWN | Job.model_json_schema()["properties"]
    return [
        {
            **{"name": name, "in": "query", "required": False, "description": facts["description"]},
            "schema": {key: value for key, value in facts.items() if key != "position"},
        }
        for name, facts in properties.items()
        if name not in _NOT_OPTIONS
    ]


def posted_from(query: Iterable[tuple[str, str]], password_variables: Iterable[str]) -> Posted:
    """What query parameters and a form's fields ask for; the job's document is still to come.

    Raises:
        InputError: one is wrong, unknown or given twice.
    """
    given: dict[str, str] = {}
    for name, value in query:
        if name in given:
            raise InputError(f"The parameter {name} is given twice. Give it once.")
        if name not in _OWN and (name not in Job.model_fields or name in _NOT_OPTIONS):
            raise InputError(f"There is no parameter {name!r}. docs/reference/api.md lists those that there are.")
        given[name] = value
    webhook, filename = (given.pop(name, None) for name in ("webhook", "filename"))
    try:
        job = Job.model_validate({**given, "document": ""})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InputError(f"The parameter {first['loc'][0]} is wrong: {first['msg']}.") from None
    if job.password_env is not None and job.password_env not in password_variables:
        raise InputError(f"password_env may not name {job.password_env!r}. API_PASSWORD_VARIABLES lists what it may.")
    return Posted(job, webhook, safe_filename(filename))


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

    async def receive(self, chunks: AsyncIterator[bytes], announced: str | None, beside: int = 0) -> None:
        """Write what comes.

        Args:
            chunks: the document.
            announced: the body's Content-Length, if there is one.
            beside: bytes of the body that may be something else.

        Raises:
            LimitError: it is, or will be, too large.
        """
        size = int(announced) if announced is not None and announced.isdecimal() else 0
        self._check(size - beside)
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

    @property
    def sha256(self) -> str:
        """Of what was received."""
        return self._digest.hexdigest()

    def keep(self, filename: str | None) -> Path:
        """Keep it on disk, and return where. The same bytes are kept once, under each of their names."""
        path = self._directory / f"{self.sha256}.pdf"
        if not path.exists():
            os.close(open_private(self._path, os.O_RDONLY))  # the worker may be another user of the group
            self._path.replace(path)
            flush_names(self._directory)
            self.is_new = True
        else:
            path.touch()  # so that it is not old: see `expired_runs`
        return path if filename is None else _named(path, filename)

    def _check(self, size: int) -> None:
        if size > self._most:
            raise LimitError(f"The document is larger than {self._settings.limits.file_mb} MB, the limit. Split it.")


def _named(path: Path, filename: str) -> Path:
    """A kept document under a name of its own, after which its run and results are called; else as it is."""
    folder = path.with_suffix("")
    named = folder / filename
    try:
        make_directory(folder)
        if not named.exists():
            if len(list(folder.iterdir())) >= _NAMES:
                return path
            named.hardlink_to(path)
            flush_names(folder)
    except FileExistsError:
        pass  # somebody else has named it so meanwhile
    except OSError:
        return path  # the file system has no links
    return named


def remove_document(directory: Path, sha256: str) -> None:
    """Remove a document that was kept, under each of its names."""
    document = directory / f"{sha256}.pdf"
    with suppress(FileNotFoundError):
        shutil.rmtree(document.with_suffix(""))
    document.unlink(missing_ok=True)


def clear_leftovers(directory: Path) -> None:
    """Remove what a backend that was killed had half received. Others may be receiving: only what is old goes."""
    for leftover in directory.glob(".*.tmp"):
        if leftover.stat().st_mtime < time.time() - _LEFTOVER_SECONDS:
            leftover.unlink(missing_ok=True)


def safe_filename(text: str | None) -> str | None:
    """Return a client's file name as one that may be a file's here; None if nothing is left of it.

    Directories before it are cut off, characters that nobody sees are spelled out, and it ends in .pdf once.
    """
    name = re.split(r"[/\\]", text or "")[-1]
    name = unicodedata.normalize("NFC", escape_line(escape_surrogates(name))).replace("\\", "")
    stem = name[: -len(_ENDING)] if name.lower().endswith(_ENDING) else name
    stem = stem.strip(". ").encode()[:_BYTES].decode(errors="ignore").rstrip(". ")
    return f"{stem}{_ENDING}" if stem else None
