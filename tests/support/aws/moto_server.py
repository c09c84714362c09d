"""moto's standalone server: the AWS behind the front, and behind the deploy scripts."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.support.aws.leash import end, leashed
from tests.support.waiting import PATIENCE, until

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
        # Reading certificates would take longer than all else.
        with httpx.Client(timeout=PATIENCE, verify=False) as client:
            client.post(f"{self.url}/moto-api/reset").raise_for_status()


@contextmanager
def moto_server(directory: Path) -> Iterator[Moto]:
    """Run a server on a free port, which knows only AMIs that were registered, and instance types that exist."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    log = directory / "moto.log"
    arguments = ("-H", "127.0.0.1", "-p", port)
    moto = Moto(f"http://127.0.0.1:{port}", log)
    process = leashed(
        "tests.support.aws.moto_program", *arguments, log=log, environment={**SETTINGS, "MOTO_PORT": str(port)}
    )

    def answers() -> bool:
        try:
            moto.reset()
        except httpx.TransportError:
            assert process.poll() is None, f"moto's server did not start ({os.getpid()}): {log.read_text()[-2000:]}"
            return False
        return True

    try:
        until(answers)
        yield moto
    finally:
        end(process)


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moto]:
    """Run one moto for all tests of the process, as it takes seconds to start and holds 300 MB; each resets it."""
    with moto_server(tmp_path_factory.mktemp("moto")) as server:
        yield server
