"""`hearth up`, `hearth down` and `hearth serve-api`: Prefect on this machine, and the HTTP API."""

import asyncio
import os
import stat
import sys
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.console import out
from flows.cli.terminal import show_progress
from tasks.backends.local.server_state import local_servers, stop_server
from tasks.core.errors import InputError
from tasks.core.network import check_environment
from tasks.settings.env_file import refuse_other_encodings
from tasks.settings.settings import load_settings
from tasks.settings.trust import refuse_strangers_file

_STOP_SECONDS = 120.0


def up(
    prefect_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", show_default="Hearth's own", help="prefect.yaml with the deployments to create."),
    ] = None,
) -> None:
    """Start Prefect here: a server, Hearth's deployments, and a worker.

    If PREFECT_API_URL names a server, that one is used. A server that Hearth
    starts is protected by a password; the Prefect profile hearth holds its
    address and password. The worker runs in this directory: it reads its .env,
    and relative paths refer to it. Run it again to deploy changes.
    """
    if prefect_file is not None:
        if not prefect_file.is_file():
            raise InputError(f"There is no file {prefect_file}. Name a prefect.yaml, or omit --prefect-file.")
        refuse_strangers_file(prefect_file)  # its steps are commands
    refuse_other_encodings()
    settings = load_settings()  # before Prefect reads .env, too
    check_environment()  # network settings that the worker would silently ignore
    from flows.local.bring_up import bring_up
    from flows.local.deployer import deployer
    from flows.local.prefect_yaml import prefect_yaml

    with deployer(prefect_file or prefect_yaml()) as deploying, show_progress():
        running = asyncio.run(bring_up(settings, deploying))
    out.say(f"Prefect is up at {running.ui}")
    place = f"PREFECT_API_URL={running.ui}/api "
    if running.password is not None:
        from flows.local.password import password_file

        file = password_file(settings.home)
        shown = f"{running.password} (stored in {file})" if _is_seen(sys.stdout.fileno()) else f"stored in {file}"
        out.say(f"Password: {shown}")
        place = "export PREFECT_PROFILE=hearth\n  "
    out.say("Run a deployment there, or here:")
    run = """prefect deployment run process-document/on-demand --param 'job={"document": "/path/to/paper.pdf"}'"""
    for line in f"  {place}{run}".splitlines():
        out.say(line)


def _is_seen(descriptor: int) -> bool:
    """Return whether output goes to a person or a program, and not into a file, where a password would stay."""
    mode = os.fstat(descriptor).st_mode
    return os.isatty(descriptor) or stat.S_ISFIFO(mode)


def down() -> None:
    """Stop what hearth up started: the worker and the server."""
    servers = [s for s in local_servers(load_settings().home) if s.name.startswith(("worker-", "prefect-"))]
    for server in reversed(servers):  # the worker first: it reports to the server which runs it ends
        stop_server(server, wait_seconds=_STOP_SECONDS)
        out.print(f"{server.name} has stopped.")
    if not servers:
        out.print("Nothing was running.")


def serve_api(
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Address to listen on; others than loopback require a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="PORT", help="Port to listen on.")] = 8080,
) -> None:
    """Serve the HTTP API: post a PDF, watch its pages, fetch its text."""
    load_settings()  # before Prefect reads .env, too
    from flows.api.app import serve

    url = f"http://{host}:{port}"
    serve(host, port, lambda: out.say(f"Serving at {url}; {url}/docs shows its routes"))
