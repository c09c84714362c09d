"""A run's connection to the Ollama of a machine: by its private address, TLS and a token, or an SSM tunnel."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from tasks.aws.client import ask
from tasks.backends.base import Endpoint
from tasks.backends.ec2.machine import Machine
from tasks.backends.ec2.pool import Pool, parameter
from tasks.core.errors import HearthError, ServerError
from tasks.inference.client import InferenceClient
from tasks.inference.schema import LoadedModel
from tasks.ollama.address import free_port
from tasks.settings.ec2 import Access

_OLLAMA_PORT = 11434
GLANCE_SECONDS = 3.0
_TUNNEL_SECONDS = 20.0
_CLOSE_SECONDS = 2.0
# A model that stays loaded for longer is pinned (keep_alive -1), which says nothing of its use.
_PINNED = timedelta(hours=24)


@dataclass
class Connection:
    """A connection to a machine's Ollama, open until it is closed."""

    endpoint: Endpoint
    tunnel: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def client(self) -> InferenceClient:
        """Return a client for quick questions. Use as an async context manager."""
        return self.endpoint.client(GLANCE_SECONDS)

    @property
    def shut(self) -> bool:
        """Whether the tunnel has ended by itself."""
        return self.tunnel is not None and self.tunnel.poll() is not None

    def close(self) -> None:
        """End the tunnel, if there is one. Calling it twice is harmless."""
        tunnel, self.tunnel = self.tunnel, None
        if tunnel is not None:
            for number in (signal.SIGTERM, signal.SIGKILL):
                with suppress(ProcessLookupError):
                    os.killpg(tunnel.pid, number)
                with suppress(subprocess.TimeoutExpired):
                    tunnel.wait(_CLOSE_SECONDS)
                    return


def check_access(pool: Pool) -> None:
    """Check that this computer can reach the pool's machines, before one is taken.

    Raises:
        ServerError: the Session Manager plugin is missing.
    """
    if pool.stack.access is Access.TUNNEL:
        _plugin()


async def open_connection(pool: Pool, machine: Machine) -> Connection:
    """Open a connection to a running machine. Whether Ollama answers is for the caller to check.

    Raises:
        ServerError: it cannot be opened.
        CloudError: AWS refuses.
    """
    port = pool.stack.port
    match pool.stack.access:
        case Access.PRIVATE:
            if machine.private_ip is None:
                raise ServerError(f"{machine.id} has no private address. Check the pool's subnets.")
            return Connection(Endpoint(f"http://{machine.private_ip}:{port}"))
        case Access.TOKEN:
            address = machine.public_ip or machine.private_ip
            token = await parameter(pool, f"/hearth/{pool.stack.pool}/token")
            certificate = await parameter(pool, f"/hearth/{pool.stack.pool}/tls-certificate")
            headers = {"Authorization": f"Bearer {token}"}
            return Connection(Endpoint(f"https://{address}:{port}", headers, certificate))
        case Access.TUNNEL:
            return await _tunnel(pool, machine)


async def loaded_models(pool: Pool, machine: Machine) -> tuple[LoadedModel, ...] | None:
    """Return the models in a machine's memory; None if it does not answer, or the question would look like use."""
    if pool.stack.access is Access.TUNNEL:
        return None  # the machine's watchdog takes a tunnel for use
    try:
        connection = await open_connection(pool, machine)
        async with connection.client() as client:
            return await client.loaded()
    except HearthError:
        return None


async def active_until(pool: Pool, machine: Machine) -> float:
    """Return until when the model stays loaded after the last request, seconds since the epoch; 0 if unknown.

    Ollama moves a model's `expires_at` on with every request that it serves, so that it shows use without a lease.
    """
    loaded = await loaded_models(pool, machine) or ()
    now = time.time()
    ends = [model.expires_at.timestamp() for model in loaded if model.expires_at is not None]
    return max((end for end in ends if end < now + _PINNED.total_seconds()), default=0.0)


async def _tunnel(pool: Pool, machine: Machine) -> Connection:
    """Forward a free port of this machine by the AWS Session Manager plugin."""
    plugin = _plugin()
    port = free_port()
    parameters = {"portNumber": [str(_OLLAMA_PORT)], "localPortNumber": [str(port)]}
    target: Any = {"Target": machine.id, "DocumentName": "AWS-StartPortForwardingSession", "Parameters": parameters}
    session = await ask(pool.aws.ssm.start_session, **target)
    session_facts = json.dumps({name: session.get(name) for name in ("SessionId", "TokenValue", "StreamUrl")})
    # These are the AWS CLI's arguments; the token goes by the environment, so that `ps` does not show it.
    ssm = pool.aws.ssm.meta
    process = await asyncio.to_thread(
        subprocess.Popen,
        [
            *(plugin, "AWS_SSM_START_SESSION_RESPONSE", ssm.region_name, "StartSession", ""),
            *(json.dumps(target), ssm.endpoint_url),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "AWS_SSM_START_SESSION_RESPONSE": session_facts},
        start_new_session=True,
    )
    connection = Connection(Endpoint(f"http://127.0.0.1:{port}"), process)
    try:
        async with asyncio.timeout(_TUNNEL_SECONDS):
            while not _listens(port):
                if process.poll() is not None:
                    raise ServerError(f"The SSM tunnel to {machine.id} ended at once (exit code {process.returncode}).")
                await asyncio.sleep(0.1)
    except TimeoutError:
        connection.close()
        raise ServerError(f"The SSM tunnel to {machine.id} did not open in {_TUNNEL_SECONDS:g} s.") from None
    except BaseException:
        connection.close()
        raise
    return connection


def _plugin() -> str:
    plugin = shutil.which("session-manager-plugin")
    if plugin is None:
        raise ServerError(
            "The pool is reached through SSM, which needs the Session Manager plugin on PATH: see "
            "https://docs.aws.amazon.com/systems-manager/latest/userguide/session-manager-working-with-install-plugin.html"
        )
    return plugin


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
