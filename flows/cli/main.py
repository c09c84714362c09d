"""The `hearth` command: thin over the flows."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from flows.cli.automations import automations
from flows.cli.batch import batch
from flows.cli.clean import clean
from flows.cli.console import Terminal, close_streams, open_streams, speak_utf8, write
from flows.cli.cost import cost
from flows.cli.infra import infra
from flows.cli.machines import start, status, stop
from flows.cli.plan import plan, prices
from flows.cli.run import SIGNALS, leave_within, print_json, run_command
from flows.cli.simulate import simulate_command
from flows.cli.terminal import MOST_FLAGGED, TerminalProgress, print_summary
from flows.cli.top import metrics, top
from flows.cli.up import down, serve_api, up
from tasks.core.errors import HearthError, InputError
from tasks.core.events import Progress, emit, subscribe
from tasks.core.jobs import BackendName, Fallback, Job
from tasks.core.network import settle_network
from tasks.core.visible import log_visibly
from tasks.results.manifest import Manifest, RunStatus
from tasks.results.store import ResultStore
from tasks.runs.prepare import prepare
from tasks.runs.run_recorder import RunRecorder
from tasks.settings.env_file import read_any_encoding, unset_empty
from tasks.settings.settings import load_settings

EXIT_PAGES_FAILED = 3
_EXIT_SECONDS = 10.0
_INTERRUPTED_EXIT_SECONDS = 3.0

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False, rich_markup_mode="rich")
app.command()(batch)
app.command()(status)
app.command()(stop)
app.command()(start)
app.command()(top)
app.command()(metrics)
app.command()(up)
app.command()(down)
app.command("serve-api")(serve_api)
app.command()(plan)
app.command("simulate")(simulate_command)
app.command()(cost)
app.command()(clean)
infra.command()(automations)
app.add_typer(infra, name="infra")
app.add_typer(prices, name="prices")
_err = Terminal(stderr=True)


def _version(asked: bool) -> None:  # noqa: FBT001 - as typer calls it
    if asked:
        write(f"hearth {version('hearth-pages')}\n")
        raise typer.Exit


@app.callback()
def hearth(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Read PDFs with a vision model, and keep exactly as much machine warm as the work needs."""


@app.command()
def read(
    document: Annotated[str, typer.Argument(metavar="FILE.pdf", help="The PDF to read.")],
    pages: Annotated[str | None, typer.Option(help="Which pages, such as 3,7-9 or 10-.")] = None,
    backend: Annotated[BackendName | None, typer.Option(help="Where the model runs.")] = None,
    model: Annotated[str | None, typer.Option(help="Ollama's name of the model.")] = None,
    prompt: Annotated[str | None, typer.Option(help="What the model is told about each page image.")] = None,
    output: Annotated[str | None, typer.Option("--output", "-o", help="Directory of the results.")] = None,
    slots: Annotated[int | None, typer.Option(min=1, max=256, help="Pages in flight at once, at the most.")] = None,
    longest_side: Annotated[int | None, typer.Option(min=64, max=8192, help="Of the page images, pixels.")] = None,
    num_ctx: Annotated[int | None, typer.Option(min=256, help="Context of the model, tokens.")] = None,
    num_predict: Annotated[int | None, typer.Option(min=1, help="Most tokens that a page may take.")] = None,
    attempts: Annotated[int | None, typer.Option(min=1, max=20, help="At each page, at the most.")] = None,
    password_env: Annotated[str | None, typer.Option(help="Variable that holds the PDF's password.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Read again what has been read before.")] = False,
    require_gpu: Annotated[bool, typer.Option("--require-gpu", help="Fail unless the model fits on the GPU.")] = False,
    max_usd: Annotated[float | None, typer.Option(help="Begin no page when the machines have cost so much.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="A flagged page counts as failed.")] = False,
    fallback: Annotated[
        Fallback, typer.Option(help="What document.md has of a failed page: none, or partial, its last text, flagged.")
    ] = Fallback.NONE,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
    text: Annotated[bool, typer.Option("--text", help="Print the text of the pages at the end.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show Prefect's log.")] = False,
) -> None:
    """Read a PDF.

    Exit codes: 0 every page was read; 1 no machine or model was to be had, or the results could not be stored;
    2 the request is wrong; 3 finished, but some pages failed, or are left because the budget is spent, or the document
    was changed while it was read.
    """
    if as_json and text:
        raise InputError("--json and --text both write to standard output. Choose one.")
    job = Job(
        document=document,
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
    manifest = run_command(_read(job, quiet=as_json), as_json=as_json, verbose=verbose)
    if manifest is None:
        told = "No page was begun: the budget is spent. They are left for the next run."
        _err.print(told)
        if as_json:
            print_json({"status": RunStatus.STOPPED.value, "error": told, "exit_code": EXIT_PAGES_FAILED})
        raise typer.Exit(EXIT_PAGES_FAILED)
    store = ResultStore(manifest.output)
    if as_json:
        flagged = {e.page: [str(flag) for flag in e.flags] for e in manifest.flagged(MOST_FLAGGED)}
        flags = {"flags": [str(flag) for flag in manifest.flags], "flagged_pages": flagged}
        failed = [{"page": e.page, "reason": e.reason, "detail": e.why} for e in manifest.failed]
        facts = {"model": manifest.model, "output": str(manifest.output), "failures": failed, **flags}
        print_json({**manifest.totals(), **facts})
    else:
        print_summary(_err, manifest, store)
    if text:
        for section in store.sections((entry.page for entry in manifest.pages), strict=strict):
            write(section)
    if manifest.failed or manifest.changed or manifest.status is RunStatus.STOPPED:
        raise typer.Exit(EXIT_PAGES_FAILED)


def _positive(usd: float | None) -> float | None:
    if usd is not None and usd <= 0:
        raise InputError(f"--max-usd is {usd:g}. Name a budget above 0.")
    return usd


async def _read(job: Job, *, quiet: bool) -> Manifest | None:
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


@app.command()
def sample(path: Annotated[Path, typer.Argument(help="Where to write it.")]) -> None:
    """Write a small scanned PDF to try things on."""
    from tasks.documents.sample import write_sample

    path.parent.mkdir(parents=True, exist_ok=True)
    write_sample(path)


@app.command(
    "serve-embedded",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
)
def serve_embedded(context: typer.Context) -> None:
    """Serve Ollama's API over a real OCR engine on this machine; see `hearth serve-embedded --help`."""
    # A process of its own from the start: the engine wants its environment set before anything is imported.
    os.execv(sys.executable, [sys.executable, "-P", "-m", "tasks.embedded", *context.args])  # noqa: S606 - no shell


def main() -> None:
    """The entry point."""
    speak_utf8()
    open_streams()
    log_visibly()
    unset_empty()
    settle_network()
    read_any_encoding()
    code = _run()
    try:
        close_streams()
    except HearthError as error:
        _err.error(str(error))
        code = code or error.exit_code
    logging.disable()
    # What Prefect has still to send it sends at exit; a server that is gone would hold the exit up for hours.
    leave_within(_INTERRUPTED_EXIT_SECONDS if code in SIGNALS.values() else _EXIT_SECONDS, code)
    sys.exit(code)


def _run() -> int:
    try:
        return app(standalone_mode=False) or 0
    except HearthError as error:
        _err.error(str(error))
        return error.exit_code
    except ValidationError as error:
        first = error.errors()[0]
        _err.error(f"{first['loc'][0]} is wrong: {first['msg'].removeprefix('Value error, ')}.")
        return InputError.exit_code
    except typer.Abort:
        _err.error("Aborted.")
        return 1
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 1
    except Exception as error:  # noqa: BLE001 - the last place where it can be told
        return _usage(error) or _crash(error)


def _usage(error: Exception) -> int:
    """Tell of a wrong command line; 0 if the error is none. Each version of typer has its own class for it."""
    told = getattr(error, "format_message", None)
    if told is None:
        return 0
    if context := getattr(error, "ctx", None):
        _err.say(context.get_usage())
    if message := told():  # without arguments the help was printed, and says all
        _err.error(message)
    return int(getattr(error, "exit_code", InputError.exit_code))


def _crash(error: Exception) -> int:
    _err.print("".join(traceback.format_exception(error)), soft_wrap=True)
    return 1


if __name__ == "__main__":
    main()
