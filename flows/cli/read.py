"""`hearth read`: documents one after the other, over the same warm server."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Annotated

import typer

from flows.cli import options
from flows.cli.console import Terminal, write
from flows.cli.run import print_json, run_command
from flows.cli.stdin import STDIN, document_from_stdin
from flows.cli.terminal import MOST_FLAGGED, TerminalProgress, print_summary
from tasks.core.errors import HearthError, InputError
from tasks.core.events import Progress, emit, subscribe
from tasks.core.jobs import Fallback, Job
from tasks.results.manifest import Manifest, RunStatus
from tasks.results.store import ResultStore
from tasks.settings.settings import load_settings

_EXIT_UNAVAILABLE, EXIT_PAGES_FAILED = 1, 3
_BY_GRAVITY = (0, EXIT_PAGES_FAILED, InputError.exit_code, _EXIT_UNAVAILABLE)
_err = Terminal(stderr=True)


def read(
    documents: Annotated[
        list[str],
        typer.Argument(metavar="FILE.pdf", help="PDFs to read, on this machine or in s3://; - is standard input."),
    ],
    pages: Annotated[
        str | None, typer.Option(metavar="RANGES", show_default="all", help="Which pages, such as 3,7-9 or 10-.")
    ] = None,
    backend: options.Backend = None,
    model: options.Model = None,
    output: options.Output = None,
    text: Annotated[bool, typer.Option("--text", help="Print the text of the pages at the end.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the outcome as JSON, an object a line for each document.")
    ] = False,
    force: options.Force = False,
    slots: options.Slots = None,
    max_usd: options.MaxUsd = None,
    password_env: Annotated[
        str | None, typer.Option(metavar="VARIABLE", show_default="none", help="Variable that holds the password.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", show_default="stdin.pdf", help="What a document from - is called.")
    ] = None,
    strict: options.Strict = False,
    fallback: options.OfFailed = Fallback.NONE,
    attempts: options.Attempts = None,
    prompt: options.Prompt = None,
    longest_side: options.LongestSide = None,
    num_ctx: options.NumCtx = None,
    num_predict: options.NumPredict = None,
    require_gpu: Annotated[bool, typer.Option("--require-gpu", help="Fail unless the model fits on the GPU.")] = False,
    verbose: options.Verbose = False,
) -> None:
    """Read PDFs: a run each, one after the other, over the same warm server.

    Exit codes; of several documents, the gravest:
    0  every page was read
    3  finished, but pages failed or are left because the budget is spent, or
       the document was changed while it was read
    2  the request is wrong, or a document is refused
    1  no machine or model was to be had, or the results could not be stored;
       the documents after it are not begun
    """
    if as_json and text:
        raise InputError("--json and --text both write to standard output. Choose one.")
    if documents.count(STDIN) > 1:
        raise InputError("- is named twice, and standard input holds one document. Name it once.")
    if name is not None and STDIN not in documents:
        raise InputError("--name is for a document from standard input. Name - as the document, or leave --name out.")
    with ExitStack() as held:
        paths = [_path(document, name or "stdin.pdf", held) for document in documents]
        jobs = [
            Job(
                document=path,
                pages=pages,
                backend=backend,
                model=model,
                prompt=prompt,
                output=output,
                slots=slots,
                longest_side=longest_side,
                num_ctx=num_ctx,
                num_predict=num_predict,
                attempts=attempts,
                password_env=password_env,
                force=force,
                require_gpu=require_gpu,
                max_usd=_positive(max_usd),
                strict=strict,
                fallback=fallback,
            )
            for path in paths
        ]
        told = _Told(as_json=as_json, text=text, strict=strict, several=len(documents) > 1)
        work = _read_all(list(zip(documents, jobs, strict=True)), told)
        if code := run_command(work, as_json=as_json, verbose=verbose):
            raise typer.Exit(code)


def _path(document: str, name: str, held: ExitStack) -> str:
    if document != STDIN:
        return document
    return str(held.enter_context(document_from_stdin(name, load_settings().limits.file_mb)))


def _positive(usd: float | None) -> float | None:
    if usd is not None and usd <= 0:
        raise InputError(f"--max-usd is {usd:g}. Name a budget above 0.")
    return usd


async def _read_all(jobs: list[tuple[str, Job]], told: _Told) -> int:
    """Read them in turn, tell of each, and return the gravest exit code."""
    gravest = 0
    for place, (document, job) in enumerate(jobs, 1):
        told.begin(document)
        try:
            code = told.outcome(await _read(job, quiet=told.as_json))
        except HearthError as error:
            code = told.error(error)
        gravest = max(gravest, code, key=_BY_GRAVITY.index)
        left = [document for document, _ in jobs[place:]]
        if code == _EXIT_UNAVAILABLE and left:
            told.not_begun(left)
            break
    return gravest


async def _read(job: Job, *, quiet: bool) -> Manifest | None:
    from tasks.runs.prepare import prepare
    from tasks.runs.run_recorder import RunRecorder

    settings = load_settings()
    prepared = await prepare(job, settings)
    prepared.store.prepare()
    with TerminalProgress(_err, quiet=quiet) as terminal, subscribe(terminal):
        # Where every page stands no server is needed, not even Prefect's.
        async with prepared.turn():
            manifest = RunRecorder(prepared).close() if prepared.nothing_left() else None
        if manifest is not None:
            return manifest
        emit(Progress("starting Prefect"))
        from flows.local.run_flow import run_document

        return await run_document(job, settings)


@dataclass
class _Told:
    """What a person, or a program, is told of each document."""

    as_json: bool
    text: bool
    strict: bool
    several: bool
    document: str = ""

    def begin(self, document: str) -> None:
        self.document = document
        if self.several and not self.as_json:
            _err.say(document, "bold")

    def outcome(self, manifest: Manifest | None) -> int:
        """Return the exit code."""
        if manifest is None:
            told = "No page was begun: the budget is spent. They are left for the next run."
            _err.print(told)
            self._json({"status": RunStatus.STOPPED.value, "error": told, "exit_code": EXIT_PAGES_FAILED})
            return EXIT_PAGES_FAILED
        store = ResultStore(manifest.output)
        if self.as_json:
            self._json({**manifest.totals(), **_facts(manifest)})
        else:
            print_summary(_err, manifest, store)
        if self.text:
            for section in store.sections((entry.page for entry in manifest.pages), strict=self.strict):
                write(section)
        left = manifest.failed or manifest.changed or manifest.status is RunStatus.STOPPED
        return EXIT_PAGES_FAILED if left else 0

    def error(self, error: HearthError) -> int:
        """Return the exit code."""
        _err.error(str(error))
        self._json({"status": "error", "error": str(error), "exit_code": error.exit_code})
        return error.exit_code

    def not_begun(self, documents: list[str]) -> None:
        _err.say(f"Not begun: {', '.join(documents)}. Run again when that is put right.")
        for self.document in documents:
            self._json({"status": "not begun", "exit_code": _EXIT_UNAVAILABLE})

    def _json(self, outcome: dict[str, object]) -> None:
        if self.as_json:
            print_json({"document": self.document, **outcome})


def _facts(manifest: Manifest) -> dict[str, object]:
    return {
        "model": manifest.model,
        "output": str(manifest.output),
        "failures": [{"page": e.page, "reason": e.reason, "detail": e.why} for e in manifest.failed],
        "flags": [str(flag) for flag in manifest.flags],
        "flagged_pages": {e.page: [str(flag) for flag in e.flags] for e in manifest.flagged(MOST_FLAGGED)},
    }
