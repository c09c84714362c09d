"""The two servers that the rivals share, and what they are seen to do: busy slots, requests, processor time."""

from __future__ import annotations

import asyncio
import json
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from tasks.core.file_locks import take_shared
from tasks.embedded.models import DEFAULT_MODEL
from tests.benchmarks.page_times import PageTimes

ROOT = Path(__file__).parents[2]
_QUIET_SHARE = 0.1
_QUIET_SECONDS = 1.5
_SETTLE_SECONDS = 60.0
_IDLE_SECONDS = 5.0


@dataclass(frozen=True)
class PageServer:
    """One that sleeps instead of reading, and notes when each page was in a slot."""

    url: str
    process: psutil.Process
    log: Path

    def marks(self) -> int:
        """Where in the log one is now."""
        return self.log.stat().st_size

    def busy(self, since: int) -> list[tuple[int, float, float]]:
        """Page, start and end of each that was in a slot after a mark."""
        with self.log.open("rb") as log:
            log.seek(since)
            rows = [line.split() for line in log]
        return [(int(page), float(start), float(end)) for page, start, end in rows]


@contextmanager
def page_server(times: PageTimes, slots: int, directory: Path) -> Iterator[PageServer]:
    """Start one and load its model."""
    log = directory / f"pages-{time.monotonic_ns()}.log"
    log.touch()
    with subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.page_server", str(slots)],
        cwd=ROOT,
        env={**os.environ, "BENCH_TIMES": times.dumped(), "BENCH_LOG": str(log)},
        stdout=subprocess.PIPE,
    ) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().decode().strip()
            load = {"model": DEFAULT_MODEL, "keep_alive": "3600s"}
            httpx.post(f"{url}/api/generate", json=load, timeout=60).raise_for_status()
            yield PageServer(url, psutil.Process(process.pid), log)
        finally:
            process.terminate()


@dataclass(frozen=True)
class PrefectServer:
    """Hearth's own local one, with the settings that Hearth gives it, and its access log switched on."""

    url: str
    auth: str
    process: psutil.Process
    log: Path
    idle_share: float

    def cpu(self) -> float:
        """Processor seconds that it has used."""
        return sum(self.process.cpu_times()[:2])

    def requests(self) -> int:
        """HTTP requests to its API so far."""
        return len(re.findall(rb'"[A-Z]+ /api/\S* HTTP', self.log.read_bytes()))

    def events(self) -> int:
        """Events that clients sent so far; they come over a WebSocket."""
        user, _, password = self.auth.partition(":")
        asked = {"filter": {}, "limit": 1}
        found = httpx.post(f"{self.url}/events/filter", json=asked, timeout=60, auth=(user, password))
        return int(found.raise_for_status().json()["total"])

    def settle(self) -> None:
        """Wait until it has recorded what was sent to it."""
        deadline = time.monotonic() + _SETTLE_SECONDS
        while time.monotonic() < deadline:
            before = self.cpu()
            time.sleep(_QUIET_SECONDS)
            if self.cpu() - before < _QUIET_SECONDS * (self.idle_share + _QUIET_SHARE):
                return


@contextmanager
def prefect_server(directory: Path) -> Iterator[PrefectServer]:
    """Start one under a directory, and have all that is started in here use it."""
    os.environ |= {
        "HEARTH_HOME": str(directory / "hearth"),
        "PREFECT_HOME": str(directory / "prefect"),
        "PREFECT_SERVER_LOGGING_LEVEL": "INFO",
    }
    os.environ.pop("PREFECT_API_URL", None)
    started: dict[str, str] = {}

    async def start() -> None:
        from flows.local.prefect_server import prefect_api
        from tasks.settings.settings import load_settings

        async with prefect_api(load_settings()) as api:
            started.update(api.environment())

    asyncio.run(start())
    home = next((directory / "hearth" / "servers").glob("prefect-*"))
    record = json.loads((home / "server.json").read_bytes())
    server = psutil.Process(record["server_pid"])
    lease = take_shared(home / "lease.lock")  # or its watchdog stops it when ten minutes are over
    os.environ.update({name: started[name] for name in ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING")})
    os.environ["PREFECT_LOGGING_LEVEL"] = "CRITICAL"
    try:
        time.sleep(3)  # the services that it starts with
        before = sum(server.cpu_times()[:2])
        time.sleep(_IDLE_SECONDS)
        idle_share = (sum(server.cpu_times()[:2]) - before) / _IDLE_SECONDS
        url, auth = started["PREFECT_API_URL"], started["PREFECT_API_AUTH_STRING"]
        yield PrefectServer(url, auth, server, home / "server.log", idle_share)
    finally:
        lease.release()
        with suppress(psutil.NoSuchProcess):
            watchdog = psutil.Process(record["watchdog_pid"])
            watchdog.terminate()
            watchdog.wait(30)


class Machine:
    """Whether anything else was at work on this machine meanwhile."""

    def __init__(self, *servers: psutil.Process) -> None:
        self._servers = servers
        self._began = self._now()

    def others(self) -> float:
        """Processors that were busy with what is none of ours, on average since the start."""
        at, busy, ours = (now - began for now, began in zip(self._now(), self._began, strict=True))
        return max(0.0, (busy - ours) / at)

    def _now(self) -> tuple[float, float, float]:
        all_of_it = psutil.cpu_times()
        idle = all_of_it.idle + getattr(all_of_it, "iowait", 0.0)
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        ours = time.process_time() + children.ru_utime + children.ru_stime
        ours += sum(sum(server.cpu_times()[:2]) for server in self._servers)
        return time.monotonic(), sum(all_of_it[:8]) - idle, ours
