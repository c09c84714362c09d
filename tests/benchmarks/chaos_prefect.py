"""A Prefect server for a chaos run, which can be stopped without harm to others."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.support.aws.leash import end, leashed


@dataclass(frozen=True)
class Prefect:
    """A server of Prefect's."""

    url: str
    pid: int


@contextmanager
def prefect_server(directory: Path) -> Iterator[Prefect]:
    """One of its own, with the settings that Hearth gives to a local one."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    settings = {
        "PREFECT_HOME": str(directory / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "50",
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "50",
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    }
    log = directory / "prefect.log"
    arguments = ("server", "start", "--host", "127.0.0.1", "--port", port)
    process = leashed("prefect", *arguments, log=log, environment=settings)
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 120
    try:
        while True:
            try:
                if httpx.get(f"{url}/api/health").is_success:
                    break
            except httpx.TransportError:
                pass
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Prefect's server did not start: {log.read_text()[-2000:]}")
            time.sleep(0.1)
        yield Prefect(url, process.pid)
    finally:
        end(process)
