"""`hearth batch`: many documents on the same servers."""

from __future__ import annotations

from datetime import time
from typing import Annotated

import typer
from pydantic import ValidationError

from flows.cli.console import Terminal, write
from flows.cli.run import run_command
from flows.cli.terminal import TerminalProgress, print_report
from tasks.batches.batch import Batch
from tasks.core.errors import InputError
from tasks.core.events import Progress, emit, subscribe
from tasks.core.jobs import BackendName, Fallback
from tasks.results.report import DocumentStatus, Report
from tasks.settings.settings import load_settings

_EXIT_FAILED = 3
_err = Terminal(stderr=True)


def batch(
    sources: Annotated[
        list[str] | None, typer.Argument(metavar="[SOURCE]...", help="Folders, PDFs, and lists of them (.txt).")
    ] = None,
    output: Annotated[str | None, typer.Option("--output", "-o", help="Directory of the results.")] = None,
    backend: Annotated[BackendName | None, typer.Option(help="Where the model runs.")] = None,
    model: Annotated[str | None, typer.Option(help="Ollama's name of the model.")] = None,
    prompt: Annotated[str | None, typer.Option(help="What the model is told about each page image.")] = None,
    slots: Annotated[int | None, typer.Option(min=1, max=256, help="Pages in flight at once, at the most.")] = None,
    attempts: Annotated[int | None, typer.Option(min=1, max=20, help="At each page, at the most.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Read again what has been read before.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="A flagged page counts as failed.")] = False,
    fallback: Annotated[
        Fallback, typer.Option(help="What document.md has of a failed page: none, or partial, its last text, flagged.")
    ] = Fallback.NONE,
    max_usd: Annotated[float | None, typer.Option(help="Begin no page when the machines have cost so much.")] = None,
    max_minutes: Annotated[float | None, typer.Option(help="Begin no page so long after the start.")] = None,
    finish_by: Annotated[str | None, typer.Option(help="Begin no page after this time of day, as 06:00.")] = None,
    must_finish: Annotated[
        bool, typer.Option("--must-finish", help="Exit with 3 also where the budget left some.")
    ] = False,
    workers: Annotated[
        int, typer.Option(min=1, max=64, help="Runs of Prefect that share the documents, at the most.")
    ] = 1,
    worker_pages: Annotated[
        int, typer.Option(min=1, help="Fewer runs share the documents if each would not have so many pages.")
    ] = 200,
    time_zone: Annotated[str, typer.Option(help="Of that time, as Europe/Berlin.")] = "UTC",
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show Prefect's log.")] = False,
) -> None:
    """Read all documents that are new or have changed, on the same servers.

    Exit codes: 0 all were read, or are left for the next run because the budget was spent; 1 no machine or model was
    to be had; 2 the request is wrong; 3 documents or pages failed or, with --must-finish, are left.
    """
    try:
        asked = Batch(
            sources=tuple(sources or ()),
            output=output,
            backend=backend,
            model=model,
            prompt=prompt,
            slots=slots,
            attempts=attempts,
            force=force,
            strict=strict,
            fallback=fallback,
            max_usd=max_usd,
            max_minutes=max_minutes,
            finish_by=time.fromisoformat(finish_by) if finish_by else None,
            time_zone=time_zone,
            workers=workers,
            worker_pages=worker_pages,
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"{first['loc'][0]} is wrong: {first['msg'].removeprefix('Value error, ')}.") from None
    except ValueError:
        raise InputError(f"finish_by is {finish_by!r}. Write it like 06:00.") from None
    report = run_command(_run(asked, quiet=as_json), as_json=as_json, verbose=verbose)
    if as_json:
        write(report.model_dump_json() + "\n")
    else:
        print_report(_err, report, report.path(asked.directory(load_settings())))
    left = must_finish and report.count(DocumentStatus.LEFT)
    if left or report.failed or report.count(DocumentStatus.FAILED) or report.count(DocumentStatus.PARTIAL):
        raise typer.Exit(_EXIT_FAILED)


async def _run(asked: Batch, *, quiet: bool) -> Report:
    settings = load_settings()
    with TerminalProgress(_err, quiet=quiet) as terminal, subscribe(terminal):
        emit(Progress("starting Prefect"))
        from flows.local.run_flow import run_batch

        return await run_batch(asked, settings)
