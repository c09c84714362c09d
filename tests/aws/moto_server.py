"""moto's standalone server, the AWS behind the front."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.aws.leash import end, leashed

SETTINGS = {
    "MOTO_ENABLE_AMI_VALIDATION": "1",
    "MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION": "1",
    "MOTO_EC2_LOAD_DEFAULT_AMIS": "false",  # a tenth of a second for each reset
}


@dataclass(frozen=True)
class Moto:
    """The server."""

    url: str
    log: Path

    def reset(self) -> None:
        """Forget everything that was ever made."""
        with httpx.Client(timeout=30, verify=False) as client:  # reading certificates would take longer than all else
            client.post(f"{self.url}/moto-api/reset").raise_for_status()


@contextmanager
def moto_server(directory: Path) -> Iterator[Moto]:
    """A server on a free port, which knows only AMIs and instance types that exist."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    log = directory / "moto.log"
    arguments = ("-H", "127.0.0.1", "-p", port)
    moto = Moto(f"http://127.0.0.1:{port}", log)
    process = leashed("moto.server", *arguments, log=log, environment={**SETTINGS, "MOTO_PORT": str(port)})
    try:
        _wait(moto, process.poll)
        yield moto
    finally:
        end(process)


def _wait(moto: Moto, poll) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            return moto.reset()
        except httpx.TransportError:
            if poll() is not None:
                break
            time.sleep(0.05)
    raise RuntimeError(f"moto's server did not start ({os.getpid()}): {moto.log.read_text()[-2000:]}")
