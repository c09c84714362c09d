"""The `hearth` command."""

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
from flows.cli.check import check
from flows.cli.clean import clean
from flows.cli.completion import complete, completion
from flows.cli.config import config, note_directory
from flows.cli.console import close_streams, err, open_streams, speak_utf8, write
from flows.cli.cost import cost
from flows.cli.doctor import doctor
from flows.cli.infra import infra
from flows.cli.logs import logs
from flows.cli.machines import start, status, stop
from flows.cli.models import models
from flows.cli.plan import plan, prices
from flows.cli.read import read
from flows.cli.run import SIGNALS, leave_within
from flows.cli.simulate import simulate_command
from flows.cli.smoke import smoke
from flows.cli.top import metrics, top
from flows.cli.up import down, serve_api, up
from tasks.core.errors import HearthError, InputError
from tasks.core.escaping import escape_logs
from tasks.core.network import normalize_environment
from tasks.core.private import set_umask
from tasks.settings.env_file import read_any_encoding, unset_empty
from tasks.settings.trust import settle_prefect

_EXIT_SECONDS = 10.0
_INTERRUPTED_EXIT_SECONDS = 3.0

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False, rich_markup_mode="rich")


def _version(requested: bool) -> None:  # noqa: FBT001 - as typer calls it
    if requested:
        write(f"hearth {version('hearth-pages')}\n")
        raise typer.Exit


@app.callback()
def hearth(
    context: typer.Context,
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Read PDFs with a vision model, and keep only as many machines warm as the work needs."""
    note_directory(context.invoked_subcommand)


def sample(path: Annotated[Path, typer.Argument(metavar="FILE.pdf", help="File to write.")]) -> None:
    """Write a small scanned PDF to try Hearth with."""
    from tasks.documents.sample import write_sample

    path.parent.mkdir(parents=True, exist_ok=True)
    write_sample(path)


def serve_embedded(context: typer.Context) -> None:
    """Serve Ollama's API with an OCR engine on this machine."""
    # In a new process: the engine reads its environment before anything else is imported.
    os.execv(sys.executable, [sys.executable, "-P", "-m", "tasks.embedded", *context.args])  # noqa: S606 - no shell


# In order of use: this is the order of `hearth --help`.
_READ, _PREFECT, _SERVERS, _COSTS, _SHELL = "Read", "Prefect and HTTP", "Servers", "Costs", "Settings and shell"
_PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True}
for _panel, _commands in {
    _READ: (sample, check, read, batch, models, logs, clean),
    _PREFECT: (up, down, serve_api),
    _SERVERS: (start, status, stop, top, metrics),
    _COSTS: (plan, cost),
    _SHELL: (config, completion),
}.items():
    for _command in _commands:
        app.command(rich_help_panel=_panel)(_command)
app.command("simulate", rich_help_panel=_COSTS)(simulate_command)
app.command("serve-embedded", rich_help_panel=_SERVERS, context_settings=_PASSED_ON, add_help_option=False)(
    serve_embedded
)
infra.command()(doctor)
infra.command()(smoke)
infra.command()(automations)
app.add_typer(prices, name="prices", rich_help_panel=_COSTS)
app.add_typer(infra, name="infra", rich_help_panel="AWS")


def main() -> None:
    """Run the command, and exit with its code."""
    speak_utf8()
    open_streams()
    escape_logs()
    unset_empty()
    normalize_environment()
    read_any_encoding()
    settle_prefect()
    set_umask()
    code = _run()
    try:
        close_streams()
    except HearthError as error:
        err.error(str(error))
        code = code or error.exit_code
    logging.disable()
    # At exit, Prefect sends what it has not sent yet; without a server, that would take hours.
    leave_within(_INTERRUPTED_EXIT_SECONDS if code in SIGNALS.values() else _EXIT_SECONDS, code)
    sys.exit(code)


def _run() -> int:
    try:
        complete()
        return app(standalone_mode=False) or 0
    except HearthError as error:
        err.error(str(error))
        return error.exit_code
    except ValidationError as error:
        first = error.errors()[0]
        name = f"{first['loc'][0]}" if first["loc"] else "The request"
        err.error(f"{name} is wrong: {first['msg'].removeprefix('Value error, ')}.")
        return InputError.exit_code
    except typer.Abort:
        err.error("Aborted.")
        return 1
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 1
    except Exception as error:  # noqa: BLE001 - the last place where it can be reported
        return _usage(error) or _crash(error)


def _usage(error: Exception) -> int:
    """Report a wrong command line; return 0 if the error is another one. Each version of typer has its own class."""
    format_message = getattr(error, "format_message", None)
    if format_message is None:
        return 0
    if context := getattr(error, "ctx", None):
        err.say(context.get_usage())
    if message := format_message():  # empty if there were no arguments, and the help was printed
        err.error(message)
    return int(getattr(error, "exit_code", InputError.exit_code))


def _crash(error: Exception) -> int:
    err.print("".join(traceback.format_exception(error)), soft_wrap=True)
    return 1


if __name__ == "__main__":
    main()
