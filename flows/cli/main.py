"""The `hearth` command."""

import gc
import logging
import sys
import traceback
from typing import Annotated

import typer

from flows.cli.commands import LazyGroup
from flows.cli.completion import complete
from flows.cli.console import close_streams, err, open_streams, speak_utf8, write
from flows.cli.run import SIGNALS, leave_within
from tasks.core.errors import HearthError, InputError
from tasks.core.escaping import escape_logs
from tasks.core.imports import importing
from tasks.core.private import set_umask

_EXIT_SECONDS = 10.0
_INTERRUPTED_EXIT_SECONDS = 3.0

app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="rich",
)


def _version(requested: bool) -> None:  # noqa: FBT001 - as typer calls it
    if requested:
        from importlib.metadata import version

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
    from flows.cli.config import note_directory

    note_directory(context.invoked_subcommand)


def main() -> None:
    """Run the command, and exit with its code."""
    speak_utf8()
    open_streams()
    escape_logs()
    if sys.argv[1:] not in ([], ["--help"]):  # the list of commands needs no settings, and appears at once
        with importing():
            _prepare_settings()
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
    gc.freeze()  # the interpreter would look through all objects once more
    sys.exit(code)


def _prepare_settings() -> None:
    from tasks.core.authorities import read_authorities_late
    from tasks.core.network import normalize_environment
    from tasks.settings.env_file import read_any_encoding, unset_empty
    from tasks.settings.trust import settle_prefect

    unset_empty()
    normalize_environment()
    read_authorities_late()
    read_any_encoding()
    settle_prefect()


def _run() -> int:
    try:
        complete()
        return app(standalone_mode=False) or 0
    except HearthError as error:
        err.error(str(error))
        return error.exit_code
    except typer.Abort:
        err.error("Aborted.")
        return 1
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 1
    except Exception as error:  # noqa: BLE001 - the last place where it can be reported
        return _usage(error) or _invalid(error) or _crash(error)


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


def _invalid(error: Exception) -> int:
    """Report an invalid value; return 0 if the error is another one."""
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return 0
    first = error.errors()[0]
    name = f"{first['loc'][0]}" if first["loc"] else "The request"
    err.error(f"{name} is wrong: {first['msg'].removeprefix('Value error, ')}.")
    return InputError.exit_code


def _crash(error: Exception) -> int:
    err.print("".join(traceback.format_exception(error)), soft_wrap=True)
    return 1


if __name__ == "__main__":
    main()
