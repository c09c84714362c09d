"""Uploads: a document, streamed to disk and kept under its sha256, and options as query parameters."""

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
from typing import Any, NamedTuple, Self

from pydantic import ValidationError

from flows.api.records import sync_directory
from tasks.core.document_kinds import HEAD_BYTES, KINDS, PDF, SUFFIXES, DocumentKind, kind_of
from tasks.core.errors import HearthError, InputError, LimitError
from tasks.core.escaping import escape_line, escape_surrogates
from tasks.core.jobs import Document, Job
from tasks.core.page_ranges import select_pages
from tasks.core.private import make_directory, open_private
from tasks.documents.pdf import inspect_document, password_from
from tasks.runs.setup import choose_setup
from tasks.settings.settings import Settings

_NAME_BYTES = 180
"""Longest file name. File systems allow 255 bytes, and longer names are derived from this one."""
# The backend decides on paths, and its clients may not use Prefect's blocks.
_NOT_OPTIONS = {"document", "output", "output_block", "password_block"}
_OWN = {
    "filename": {
        "type": "string",
        "title": "File name",
        "description": "Name of the document and of its run; by default the name of the form's file.",
        "examples": ["paper.pdf"],
    },
    "webhook": {
        "type": "string",
        "title": "Webhook",
        "description": "URL to which a signed message is posted when the run has ended.",
        "examples": ["https://example.com/hook"],
    },
}
_LEFTOVER_SECONDS = 24 * 3600.0
MOST_NAMES = 16
"""Most names of one document; clients choose them."""


class Posted(NamedTuple):
    """The options of a POST request."""

    job: Job
    webhook: str | None
    filename: str | None


def option_parameters() -> list[dict[str, Any]]:
    """Return OpenAPI's description of the options as query parameters."""
    properties = _OWN | Job.model_json_schema()["properties"]
    return [
        {
            **{"name": name, "in": "query", "required": False, "description": facts["description"]},
            "schema": {key: value for key, value in facts.items() if key != "position"},
        }
        for name, facts in properties.items()
        if name not in _NOT_OPTIONS
    ]


def parse_options(query: Iterable[tuple[str, str]], password_variables: Iterable[str]) -> Posted:
    """Return the options of query parameters and form fields, or raise InputError; the document is set later."""
    values: dict[str, str] = {}
    for name, value in query:
        if name in values:
            raise InputError(f"The parameter {name} is repeated. Send it once.")
        if name not in _OWN and (name not in Job.model_fields or name in _NOT_OPTIONS):
            raise InputError(f"There is no parameter {name!r}. docs/reference/api.md lists the parameters.")
        values[name] = value
    webhook, filename = (values.pop(name, None) for name in ("webhook", "filename"))
    try:
        job = Job.model_validate({**values, "document": ""})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InputError(
            f"The parameter {first['loc'][0]} is wrong: {first['msg'].removeprefix('Value error, ')}."
        ) from None
    if job.password_env is not None and job.password_env not in password_variables:
        raise InputError(f"password_env may not name {job.password_env!r}. API_PASSWORD_VARIABLES lists what it may.")
    return Posted(job, webhook, safe_filename(filename))


class Upload:
    """A document that is being received. Use as a context manager, which removes the document unless it was kept.

    Attributes:
        is_new: whether it was kept for the first time.
    """

    def __init__(self, directory: Path, settings: Settings) -> None:
        self._directory = directory
        self._settings = settings
        self._most = settings.limits.file_mb * 1_000_000
        self._digest = hashlib.sha256()
        self._head = b""
        self.is_new = False

    def __enter__(self) -> Self:
        self._file = tempfile.NamedTemporaryFile(dir=self._directory, prefix=".", suffix=".tmp", delete=False)
        self._path = Path(self._file.name)
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)

    async def receive(self, chunks: AsyncIterator[bytes], content_length: str | None, other_bytes: int = 0) -> None:
        """Write the document to the temporary file; raise LimitError if it is, or will be, too large.

        Args:
            chunks: the document.
            content_length: the request's header, if it has one.
            other_bytes: most bytes of the body that are not the document's.
        """
        size = int(content_length) if content_length is not None and content_length.isdecimal() else 0
        self._check_size(size - other_bytes)
        received = 0
        async for chunk in chunks:
            received += len(chunk)
            self._check_size(received)
            self._digest.update(chunk)
            self._head += chunk[: HEAD_BYTES - len(self._head)]
            self._file.write(chunk)
        self._file.flush()
        await asyncio.to_thread(os.fsync, self._file.fileno())

    async def inspect(self, job: Job) -> tuple[Document, tuple[int, ...]]:
        """Return the document and the pages to read; raise HearthError if the job's options do not allow it."""
        try:
            await asyncio.to_thread(choose_setup, job, self._settings)  # in a thread: it may call AWS
            password = password_from(job.password_env)
            document = (await inspect_document(self._path, self._settings.limits, password)).document
            return document, select_pages(job.pages, document.pages)
        except HearthError as error:
            raise type(error)(str(error).replace(str(self._path), "The document")) from None

    @property
    def sha256(self) -> str:
        """The sha256 of the bytes received so far."""
        return self._digest.hexdigest()

    def name_by_content(self, filename: str | None) -> str | None:
        """Return a file name with a suffix of the kind that the received bytes have."""
        kind = self._kind
        if filename is None or filename.endswith(kind.suffixes):
            return filename
        return f"{_stem_of(filename)}{kind.suffix}"

    @property
    def _kind(self) -> DocumentKind:
        return kind_of(self._head) or PDF

    def keep(self, filename: str | None) -> Path:
        """Keep the document, and return its path. Equal documents are kept once, with a link for each name."""
        path = self._directory / f"{self.sha256}{self._kind.suffix}"
        if not path.exists():
            os.close(open_private(self._path, os.O_RDONLY))  # readable by the group: the worker may be another user
            self._path.replace(path)
            sync_directory(self._directory)
            self.is_new = True
        else:
            path.touch()  # so that it does not expire: see `expired_runs`
        return path if filename is None else _link(path, filename)

    def _check_size(self, size: int) -> None:
        if size > self._most:
            raise LimitError(f"The document is larger than {self._settings.limits.file_mb} MB, the limit. Split it.")


def _link(path: Path, filename: str) -> Path:
    """Return a link to a kept document, after which its run and results are named; the document if there is no link."""
    folder = path.with_suffix("")
    named = folder / filename
    try:
        make_directory(folder)
        if not named.exists():
            if len(list(folder.iterdir())) >= MOST_NAMES:
                return path
            named.hardlink_to(path)
            sync_directory(folder)
    except FileExistsError:
        pass  # a simultaneous post has created it
    except OSError:
        return path  # the file system does not support links
    return named


def remove_document(directory: Path, sha256: str) -> None:
    """Remove a kept document with all of its names."""
    with suppress(FileNotFoundError):
        shutil.rmtree(directory / sha256)
    kept_document(directory, sha256).unlink(missing_ok=True)


def kept_document(directory: Path, sha256: str) -> Path:
    """Return the path of a kept document, or of the PDF that it would be."""
    paths = [directory / f"{sha256}{kind.suffix}" for kind in KINDS]
    return next(filter(Path.exists, paths), paths[0])


def clear_leftovers(directory: Path) -> None:
    """Remove old partial uploads, which killed backends have left; recent ones may still be received."""
    for leftover in directory.glob(".*.tmp"):
        if leftover.stat().st_mtime < time.time() - _LEFTOVER_SECONDS:
            leftover.unlink(missing_ok=True)


def safe_filename(text: str | None) -> str | None:
    """Return a client's file name in a form that is safe to use; None if nothing is left of it.

    Directories are removed, invisible characters are escaped, and the name ends in one suffix of a document: in .pdf
    if it has none.
    """
    name = re.split(r"[/\\]", text or "")[-1]
    name = unicodedata.normalize("NFC", escape_line(escape_surrogates(name))).replace("\\", "")
    stem = _stem_of(name)
    ending = name[len(stem) :].lower() or PDF.suffix
    stem = stem.strip(". ").encode()[:_NAME_BYTES].decode(errors="ignore").rstrip(". ")
    return f"{stem}{ending}" if stem else None


def _stem_of(name: str) -> str:
    """Return a file name without the suffix of a document."""
    lower = name.lower()
    return next((name[: -len(suffix)] for suffix in SUFFIXES if lower.endswith(suffix)), name)
