"""`hearth batch`: read many documents on the same servers."""

from datetime import time
from typing import Annotated

import typer

from flows.cli import options
from flows.cli.console import write
from flows.cli.run import run_command
from flows.cli.terminal import print_report, show_progress
from tasks.batches.batch import Batch
from tasks.core.corrections import Straightening, Turning
from tasks.core.errors import InputError
from tasks.core.events import Progress, emit
from tasks.core.imports import importing
from tasks.core.jobs import Fallback, TextLayer
from tasks.core.json_schema import read_schema
from tasks.core.options import Headers, Pictures
from tasks.results.report import Report
from tasks.results.rows import DocumentStatus
from tasks.settings.settings import load_settings

_EXIT_FAILED = 3


def batch(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SOURCE",
            show_default="HEARTH_INBOX, or inbox",
            help="Folders, PDFs, pictures, or lists of them (.txt), on this machine or in s3://.",
        ),
    ] = None,
    output: options.Output = None,
    backend: options.Backend = None,
    model: options.Model = None,
    languages: options.Languages = None,
    max_usd: options.MaxUsd = None,
    max_minutes: Annotated[
        float | None,
        typer.Option(metavar="MINUTES", show_default="no limit", help="Start no further page after this many minutes."),
    ] = None,
    finish_by: Annotated[
        str | None,
        typer.Option(
            metavar="HH:MM",
            show_default="no limit",
            help="Start no further page after this time of day, for example 06:00.",
        ),
    ] = None,
    time_zone: Annotated[
        str, typer.Option(metavar="ZONE", help="Time zone of --finish-by, for example Europe/Berlin.")
    ] = "UTC",
    must_finish: Annotated[
        bool, typer.Option("--must-finish", help="Exit with 3 if the budget or a time limit leaves documents unread.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    force: options.Force = False,
    slots: options.Slots = None,
    workers: Annotated[
        int, typer.Option(min=1, max=64, metavar="RUNS", help="Number of Prefect runs that share the documents.")
    ] = 1,
    worker_pages: Annotated[
        int, typer.Option(min=1, metavar="PAGES", help="Minimum pages per run: fewer runs share a small batch.")
    ] = 200,
    strict: options.Strict = False,
    fallback: options.OfFailed = Fallback.NONE,
    text_layer: options.OfText = TextLayer.NEVER,
    turn: options.OfTurned = Turning.AUTO,
    straighten: options.OfSkewed = Straightening.AUTO,
    headers: options.RunningHeaders = Headers.KEEP,
    pictures: options.OfPictures = Pictures.OMIT,
    schema: options.OfSchema = None,
    attempts: options.Attempts = None,
    prompt: options.Prompt = None,
    profile: options.Profile = None,
    longest_side: options.LongestSide = None,
    num_ctx: options.NumCtx = None,
    num_predict: options.NumPredict = None,
    verbose: options.Verbose = False,
) -> None:
    """Read all new or changed documents on the same servers.

    Exit codes:
    0  all documents were read, or the budget leaves some for the next run
    3  documents or pages failed or, with --must-finish, are left unread
    2  the request is wrong
    1  no machine or model was available
    """
    given = {name: value for name, value in locals().items() if name in Batch.model_fields}
    try:
        latest = time.fromisoformat(finish_by) if finish_by else None
    except ValueError:
        raise InputError(f"--finish-by is {finish_by!r}. Write it like 06:00.") from None
    requested = Batch(
        **{
            **given,
            "sources": tuple(sources or ()),
            "finish_by": latest,
            "json_schema": read_schema(schema) if schema else None,
        }
    )
    report = run_command(_run(requested, quiet=as_json), as_json=as_json, verbose=verbose)
    if as_json:
        write(report.model_dump_json() + "\n")
    else:
        print_report(report, report.path(requested.directory(load_settings())))
    left = must_finish and report.count(DocumentStatus.LEFT)
    if left or report.failed or report.count(DocumentStatus.FAILED) or report.count(DocumentStatus.PARTIAL):
        raise typer.Exit(_EXIT_FAILED)


async def _run(requested: Batch, *, quiet: bool) -> Report:
    settings = load_settings()
    with show_progress(quiet=quiet):
        emit(Progress("starting Prefect"))
        with importing():
            from flows.local.run_flow import run_batch

        return await run_batch(requested, settings)
