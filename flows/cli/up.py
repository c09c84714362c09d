"""`hearth up`, `hearth down` and `hearth serve-api`: Prefect on this machine, and the HTTP API before it."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.console import Terminal
from flows.cli.terminal import TerminalProgress
from tasks.backends.local.server_state import local_servers, stop_server
from tasks.core.errors import InputError
from tasks.core.events import subscribe
from tasks.core.network import check_environment
from tasks.settings.env_file import refuse_other_encodings
from tasks.settings.settings import load_settings
from tasks.settings.trust import refuse_strangers_file

_out = Terminal()
_err = Terminal(stderr=True)
_ENDED_SECONDS = 120.0


def up(
    prefect_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", show_default="Hearth's own", help="prefect.yaml with the deployments to make."),
    ] = None,
) -> None:
    """Start Prefect here: a server, Hearth's deployments, and a worker.

    PREFECT_API_URL may name a server that is there already; one that it starts
    asks for a password, and the Prefect profile hearth has both. The worker
    runs in this directory: relative paths mean the same there, and its .env is
    read. Run it again at any time; what has changed is deployed anew.
    """
    if prefect_file is not None:
        if not prefect_file.is_file():
            raise InputError(f"There is no file {prefect_file}. Name a prefect.yaml, or leave --prefect-file out.")
        refuse_strangers_file(prefect_file)  # its steps are commands
    refuse_other_encodings()
    settings = load_settings()  # before Prefect reads .env, too
    check_environment()  # what would be taken from the worker's environment without a word
    with TerminalProgress(_err) as terminal, subscribe(terminal):
        from flows.local.bring_up import bring_up

        brought = asyncio.run(bring_up(settings, prefect_file))
    _out.say(f"Prefect is up at {brought.ui}")
    if brought.password is not None:
        from flows.local.password import password_file

        kept = password_file(settings.home)
        shown = f"{brought.password} (kept in {kept})" if _is_seen(sys.stdout.fileno()) else f"kept in {kept}"
        _out.say(f"The password that it asks for: {shown}")
    _out.say("Run a deployment there, or so:")
    if brought.password is not None:
        _out.say("  export PREFECT_PROFILE=hearth")
    place = f"PREFECT_API_URL={brought.ui}/api " if brought.password is None else ""
    run = """prefect deployment run process-document/on-demand --param 'job={"document": "/path/to/paper.pdf"}'"""
    _out.say(f"  {place}{run}")


def _is_seen(descriptor: int) -> bool:
    """Whether what is written goes to a person or a program, and not into a file, where a password would stay."""
    mode = os.fstat(descriptor).st_mode
    return os.isatty(descriptor) or stat.S_ISFIFO(mode)


def down() -> None:
    """End what hearth up started: the worker and the server."""
    servers = local_servers(load_settings().home)
    ours = [server for server in servers if server.name.startswith(("worker-", "prefect-"))]
    for server in reversed(ours):  # the worker first: it tells the server that it goes, and of the runs that it ends
        stop_server(server, wait_seconds=_ENDED_SECONDS)
        _out.print(f"{server.name} has stopped.", highlight=False)
    if not ours:
        _out.print("Nothing was up.", highlight=False)


def serve_api(
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Where to listen; beyond loopback a token must be set.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="PORT", help="Where to listen.")] = 8080,
) -> None:
    """Serve the HTTP API: post a PDF, watch its pages, fetch its text."""
    load_settings()  # before Prefect reads .env, too
    from flows.api.app import serve

    where = f"http://{host}:{port}"
    serve(host, port, lambda: _out.print(f"Serving at {where}; its routes as a form: {where}/docs", soft_wrap=True))
