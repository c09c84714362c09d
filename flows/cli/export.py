"""`hearth export`: stored pages for other programs."""

from __future__ import annotations

import hashlib
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from flows.cli import options
from flows.cli.console import err, write
from flows.cli.run import EXIT_PAGES_FAILED
from tasks.core.document_kinds import is_document
from tasks.core.errors import DocumentError
from tasks.results.export import ExportFormat, exported, results_in, results_of
from tasks.results.store import ResultStore
from tasks.settings.settings import Settings, load_settings
from tasks.storage.downloads import LocalCopy, local_copy
from tasks.storage.files import StoragePath, files_at, parse_path


def export(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE|DIR|S3",
            show_default="all results in --output",
            help="Documents that were read, directories of the results of one, or of several.",
        ),
    ] = None,
    to: Annotated[
        ExportFormat, typer.Option(metavar="FORMAT", help="Format: jsonl, a line of JSON for each page.")
    ] = ExportFormat.JSONL,
    file: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|S3",
            show_default="standard output",
            help="Write to this file, whole or not at all, for example pages.jsonl.",
        ),
    ] = None,
    output: options.Output = None,
) -> None:
    """Export pages that are stored, for other programs; nothing is read anew.

    Every stored page is exported, whichever run read it, and failed ones with
    the reason. The fields are listed in docs/reference/files.md.
    """
    settings = load_settings()
    place = parse_path(output).absolute() if output else settings.output
    named = (each for name in sources or () for each in _stores(name, place, settings))
    stores = list(named) if sources else results_in(place)
    lost: list[str] = []
    lines = (line for store in stores for line in exported(store, to, partial(_note, lost, store)))
    if file is None:
        for line in lines:
            write(line)
    else:
        target = parse_path(file).absolute()
        files_at(target.parent).write(target.name, lines)
    if lost:
        more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
        err.error(f"{lost[0]}{more} cannot be read and is not exported. Read the document again.")
        raise typer.Exit(EXIT_PAGES_FAILED)


def _stores(source: str, output: StoragePath, settings: Settings) -> list[ResultStore]:
    """Return the results that a source names."""
    place = parse_path(source).absolute()
    if not (place.is_file() if isinstance(place, Path) else is_document(place.name)):
        return results_in(place)
    if isinstance(place, Path):
        copy = LocalCopy(place)
    else:
        copy = local_copy(place, settings.home / "copies", settings.limits.file_mb)
    with closing(copy):
        try:
            with copy.path.open("rb") as opened:
                digest = hashlib.file_digest(opened, "sha256").hexdigest()
        except OSError as error:
            raise DocumentError(f"{place} cannot be read: {error.strerror}. Check its permissions.") from None
    return [results_of(place, digest, output)]


def _note(lost: list[str], store: ResultStore, number: int) -> None:
    lost.append(f"Page {number} in {store.directory}")
