"""`hearth batch`: many documents on the same servers."""

from __future__ import annotations

from datetime import time
from typing import Annotated

import typer
from pydantic import ValidationError

from flows.cli import options
from flows.cli.console import Terminal, write
from flows.cli.run import run_command
from flows.cli.terminal import TerminalProgress, print_report
from tasks.batches.batch import Batch
from tasks.core.errors import InputError
from tasks.core.events import Progress, emit, subscribe
from tasks.core.jobs import Fallback
from tasks.results.report import DocumentStatus, Report
from tasks.settings.settings import load_settings

_EXIT_FAILED = 3
_err = Terminal(stderr=True)


def batch(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SOURCE",
            show_default="HEARTH_INBOX, or inbox",
            help="Folders, PDFs, and lists of them (.txt), here or in s3://.",
        ),
    ] = None,
    output: options.Output = None,
    backend: options.Backend = None,
    model: options.Model = None,
    max_usd: options.MaxUsd = None,
    max_minutes: Annotated[
        float | None,
        typer.Option(metavar="MINUTES", show_default="no limit", help="Begin no page so long after the start."),
    ] = None,
    finish_by: Annotated[
        str | None,
        typer.Option(metavar="HH:MM", show_default="no limit", help="Begin no page after this time of day."),
    ] = None,
    time_zone: Annotated[
        str, typer.Option(metavar="ZONE", help="Time zone of --finish-by, such as Europe/Berlin.")
    ] = "UTC",
    must_finish: Annotated[
        bool, typer.Option("--must-finish", help="Exit with 3 also where the budget left some.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    force: options.Force = False,
    slots: options.Slots = None,
    workers: Annotated[
        int, typer.Option(min=1, max=64, metavar="RUNS", help="Runs of Prefect that share the documents.")
    ] = 1,
    worker_pages: Annotated[
        int, typer.Option(min=1, metavar="PAGES", help="Fewer runs share them if each would have fewer pages.")
    ] = 200,
    strict: options.Strict = False,
    fallback: options.OfFailed = Fallback.NONE,
    attempts: options.Attempts = None,
    prompt: options.Prompt = None,
    verbose: options.Verbose = False,
) -> None:
    """Read all documents that are new or changed, on the same servers.

    Exit codes:
    0  all were read, or are left for the next run because the budget is spent
    3  documents or pages failed or, with --must-finish, are left
    2  the request is wrong
    1  no machine or model was to be had
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
