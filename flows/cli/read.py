"""`hearth read`: read documents one after the other on the same warm server."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from flows.cli import options
from flows.cli.console import err, print_json, write
from flows.cli.run import EXIT_PAGES_FAILED, run_command
from flows.cli.stdin import STDIN, document_from_stdin
from flows.cli.terminal import MOST_FLAGGED, print_summary, show_progress
from tasks.core.corrections import Straightening, Turning
from tasks.core.errors import HearthError, InputError
from tasks.core.events import Progress, emit
from tasks.core.imports import importing
from tasks.core.jobs import Fallback, Job, TextLayer
from tasks.core.json_schema import read_schema
from tasks.core.options import Headers, Pictures
from tasks.results.manifest import Manifest, RunStatus
from tasks.results.store import ResultStore
from tasks.settings.settings import load_settings

_EXIT_UNAVAILABLE = 1
_BY_GRAVITY = (0, EXIT_PAGES_FAILED, InputError.exit_code, _EXIT_UNAVAILABLE)


def read(
    documents: Annotated[
        list[str],
        typer.Argument(metavar="FILE", help="PDFs and pictures on this machine or in s3://; - is standard input."),
    ],
    pages: Annotated[
        str | None, typer.Option(metavar="RANGES", show_default="all", help="Pages to read, for example 3,7-9 or 10-.")
    ] = None,
    backend: options.Backend = None,
    model: options.Model = None,
    languages: options.Languages = None,
    output: options.Output = None,
    text: Annotated[bool, typer.Option("--text", help="Print the text of the pages at the end.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the outcome of each document as a line of JSON.")
    ] = False,
    force: options.Force = False,
    slots: options.Slots = None,
    max_usd: options.MaxUsd = None,
    password_env: Annotated[
        str | None,
        typer.Option(metavar="VARIABLE", show_default="none", help="Environment variable with the PDF's password."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", show_default="stdin.pdf", help="File name of the document from -.")
    ] = None,
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
    require_gpu: Annotated[
        bool, typer.Option("--require-gpu", help="Fail unless the whole model fits on the GPU.")
    ] = False,
    verbose: options.Verbose = False,
) -> None:
    """Read PDFs one after the other, each in a run of its own, on the same warm server.

    Exit codes; with several documents, that of the gravest outcome:
    0  every page was read
    3  finished, but pages failed, the budget left pages unread, or the
       document changed while it was read
    2  the request is wrong, or a document was refused
    1  no machine or model was available, or the results could not be stored;
       the remaining documents are not read
    """
    given = {option: value for option, value in locals().items() if option in Job.model_fields}
    if as_json and text:
        raise InputError("--json and --text both write to standard output. Choose one.")
    if documents.count(STDIN) > 1:
        raise InputError("- is named twice, but standard input holds one document. Name it once.")
    if name is not None and STDIN not in documents:
        raise InputError("--name is for a document from standard input. Name - as the document, or omit --name.")
    if max_usd is not None and max_usd <= 0:
        raise InputError(f"--max-usd is {max_usd:g}. It must be above 0, for example 5.")
    json_schema = read_schema(schema) if schema else None
    with ExitStack() as stack:
        jobs = [
            Job(
                document=document if document != STDIN else str(stack.enter_context(_stdin(name or "stdin.pdf"))),
                json_schema=json_schema,
                **given,
            )
            for document in documents
        ]
        reporter = _Reporter(as_json=as_json, text=text, strict=strict, several=len(documents) > 1)
        work = _read_all(list(zip(documents, jobs, strict=True)), reporter)
        if code := run_command(work, as_json=as_json, verbose=verbose):
            raise typer.Exit(code)


def _stdin(name: str) -> AbstractContextManager[Path]:
    return document_from_stdin(name, load_settings().limits.file_mb)


async def _read_all(jobs: list[tuple[str, Job]], reporter: _Reporter) -> int:
    """Read the documents in turn, report each, and return the gravest exit code."""
    from tasks.documents.shared_processes import shared_processes

    gravest = 0
    for count, (document, job) in enumerate(jobs, 1):
        reporter.begin(document)
        try:
            async with shared_processes():  # the one that opens the document renders it, too
                code = reporter.outcome(await _read(job, quiet=reporter.as_json))
        except HearthError as error:
            code = reporter.error(error)
        gravest = max(gravest, code, key=_BY_GRAVITY.index)
        remaining = [document for document, _ in jobs[count:]]
        if code == _EXIT_UNAVAILABLE and remaining:
            reporter.not_begun(remaining)
            break
    return gravest


async def _read(job: Job, *, quiet: bool) -> Manifest | None:
    from tasks.runs.prepare import prepare
    from tasks.runs.run_recorder import RunRecorder
    from tasks.runs.text_layers import take_text_layers

    settings = load_settings()
    prepared = await prepare(job, settings)
    with closing(prepared.file), show_progress(quiet=quiet):
        prepared.store.prepare()
        # If every page is stored already, no server is needed, not even Prefect's.
        async with prepared.lock():
            recorder = RunRecorder(prepared)
            await take_text_layers(prepared, recorder)
            manifest = recorder.close() if prepared.nothing_left() else None
        if manifest is not None:
            return manifest
        emit(Progress("starting Prefect"))
        with importing():
            from flows.local.run_flow import run_document

        return await run_document(job, prepared, settings)


@dataclass
class _Reporter:
    """Reports the outcome of each document to a person or a program."""

    as_json: bool
    text: bool
    strict: bool
    several: bool
    document: str = ""

    def begin(self, document: str) -> None:
        self.document = document
        if self.several and not self.as_json:
            err.say(document, "bold")

    def outcome(self, manifest: Manifest | None) -> int:
        """Report how a run ended, and return the exit code."""
        if manifest is None:
            message = "No page was started, because the budget is spent. They are left for the next run."
            err.print(message)
            self._json({"status": RunStatus.STOPPED.value, "error": message, "exit_code": EXIT_PAGES_FAILED})
            return EXIT_PAGES_FAILED
        store = ResultStore(manifest.output)
        if self.as_json:
            self._json({**manifest.totals(), **_facts(manifest)})
        else:
            print_summary(manifest, store)
        if self.text:
            for section in store.sections((entry.page for entry in manifest.pages), strict=self.strict):
                write(section)
        unfinished = manifest.failed or manifest.changed or manifest.status is RunStatus.STOPPED
        return EXIT_PAGES_FAILED if unfinished else 0

    def error(self, error: HearthError) -> int:
        """Report an error, and return its exit code."""
        err.error(str(error))
        self._json({"status": "error", "error": str(error), "exit_code": error.exit_code})
        return error.exit_code

    def not_begun(self, documents: list[str]) -> None:
        err.say(f"Not started: {', '.join(documents)}. Resolve the error, and run the command again.")
        for self.document in documents:
            self._json({"status": "not begun", "exit_code": _EXIT_UNAVAILABLE})

    def _json(self, outcome: dict[str, object]) -> None:
        if self.as_json:
            print_json({"document": self.document, **outcome})


def _facts(manifest: Manifest) -> dict[str, object]:
    return {
        "model": manifest.model,
        "output": str(manifest.output),
        **({"data": str(ResultStore(manifest.output).data_path)} if manifest.has_data else {}),
        "failures": [{"page": e.page, "reason": e.reason, "detail": e.why} for e in manifest.failed],
        "flags": [str(flag) for flag in manifest.flags],
        "doubtful_pages": {e.page: e.confidence for e in manifest.pages.doubtful},
        "flagged_pages": {e.page: [str(flag) for flag in e.flags] for e in manifest.flagged(MOST_FLAGGED)},
    }
