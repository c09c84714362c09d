"""`hearth up`, `hearth down` and `hearth serve-api`: Prefect on this machine, and the HTTP API before it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.console import Terminal
from flows.cli.terminal import TerminalProgress
from tasks.backends.local.server import local_servers, stop_server
from tasks.core.errors import InputError
from tasks.core.events import subscribe
from tasks.core.network import refuse_unusable
from tasks.settings.env_file import refuse_other_encodings
from tasks.settings.settings import load_settings
from tasks.settings.trust import refuse_strangers_file

_out = Terminal()
_err = Terminal(stderr=True)
_ENDED_SECONDS = 120.0


def up() -> None:
    """Bring up Prefect on this machine: a server, unless PREFECT_API_URL names one, the deployments, and a worker.

    Run it where prefect.yaml is. It can be run again at any time; what has changed is deployed anew.
    """
    if not Path("prefect.yaml").is_file():
        raise InputError(f"There is no prefect.yaml in {Path.cwd()}. Run hearth up in Hearth's directory.")
    refuse_strangers_file(Path("prefect.yaml"))  # its steps are commands
    refuse_other_encodings()
    settings = load_settings()  # before Prefect reads .env, too
    refuse_unusable()  # what would be taken from the worker's environment without a word
    with TerminalProgress(_err) as terminal, subscribe(terminal):
        from flows.local.bring_up import bring_up

        url = asyncio.run(bring_up(settings))
    _out.print(f"Prefect is up at {url}", highlight=False, soft_wrap=True)
    _out.print("Run a deployment there, or so:", highlight=False)
    run = """prefect deployment run process-document/on-demand --param 'job={"document": "/path/to/paper.pdf"}'"""
    _out.print(f"  PREFECT_API_URL={url}/api {run}", highlight=False, soft_wrap=True, markup=False)


def down() -> None:
    """End the worker and the Prefect server that `hearth up` started."""
    servers = local_servers(load_settings().home)
    ours = [server for server in servers if server.name.startswith(("worker-", "prefect-"))]
    for server in reversed(ours):  # the worker first: it tells the server that it goes, and of the runs that it ends
        stop_server(server, wait_seconds=_ENDED_SECONDS)
        _out.print(f"{server.name} has stopped.", highlight=False)
    if not ours:
        _out.print("Nothing was up.", highlight=False)


def serve_api(
    host: Annotated[str, typer.Option(help="Address to listen on; beyond loopback a token must be set.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8080,
) -> None:
    """Serve the HTTP API: post a PDF, watch its pages, fetch its text (docs/api.md)."""
    load_settings()  # before Prefect reads .env, too
    from flows.api.app import serve

    where = f"http://{host}:{port}"
    serve(host, port, lambda: _out.print(f"Serving at {where}; its routes as a form: {where}/docs", soft_wrap=True))
