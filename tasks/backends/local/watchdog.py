"""Run a server on this machine, and stop it when no run has leased it for the idle time.

`python -m tasks.backends.local.watchdog --url URL --idle SECONDS DIRECTORY COMMAND ...` goes into the background and
returns. It belongs to no run, so that it outlives the one that started it, and cleans up.

In DIRECTORY: `lease.lock` (held shared by each run that uses the server), `alive.lock` (held by the watchdog while it
lives), `server.json` (the server's record, while runs may use it), `server.log`, `server.log.old`, and `stopped`, if
the last server was stopped and did not die. The server's own processes end with it, also if it is killed.
"""

import argparse
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from tasks.backends.local.processes import MARK, end_group, end_marked
from tasks.core.clock import elapsed
from tasks.core.file_locks import FileLock, take_exclusive, try_exclusive
from tasks.core.private import open_private, write_text

_POLL_SECONDS = 0.5
_GRACE_SECONDS = 10.0
# Twice as much is kept. A server that is up for a year, and logs every run, would fill the disk.
MOST_LOG_BYTES = 10_000_000


class ServerDirectory:
    """The files that runs and the watchdog of one server share."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lease = path / "lease.lock"
        self.start = path / "start.lock"
        self.alive = path / "alive.lock"
        self.log = path / "server.log"
        self.last_log = path / "server.log.old"
        self.stopped = path / "stopped"
        self._record = path / "server.json"

    def read(self) -> dict[str, Any] | None:
        """Return the record that the watchdog published; None if no run may use the server."""
        try:
            record: dict[str, Any] = json.loads(self._record.read_bytes())
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        return record

    def publish(self, record: dict[str, Any]) -> None:
        """Publish a record for runs, whole or not at all."""
        temporary = self.path / ".server.json.tmp"
        write_text(temporary, json.dumps(record))
        temporary.replace(self._record)

    def withdraw(self) -> None:
        """Withdraw the record: no further run may use the server."""
        self._record.unlink(missing_ok=True)


class Watchdog:
    """A server and its idle clock."""

    def __init__(
        self, directory: ServerDirectory, url: str, idle_seconds: float, facts: dict[str, Any], command: list[str]
    ) -> None:
        self._directory = directory
        self._url = url
        self._idle_seconds = idle_seconds
        self._facts = facts
        self._command = command
        self._stop_requested = False

    def run(self) -> None:
        """Start the server, and return when it has ended."""
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if self._directory.log.exists():
            self._directory.log.replace(self._directory.last_log)
        # It is opened for appending, as it is cut while the server writes to it.
        with os.fdopen(open_private(self._directory.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), "ab") as log:
            try:
                server = subprocess.Popen(  # noqa: S603 - the command is a backend's own
                    self._command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    preexec_fn=die_with_parent,  # noqa: PLW1509 - this process has one thread
                    process_group=0,
                    env={**os.environ, MARK: str(self._directory.path)},
                )
            except OSError as error:
                log.write(f"{error}\n".encode())
                return
        self._publish(server, idle_since=None)
        lease = self._watch(server)
        if self._stop_requested or lease is not None:
            self._directory.stopped.touch()
        self._directory.withdraw()
        _end(server, self._directory.path)
        if lease is not None:
            lease.release()

    def _watch(self, server: subprocess.Popen[bytes]) -> FileLock | None:
        """Wait until the server has ended, or may be ended: then return the lock that keeps runs out."""
        idle_since: float | None = None
        while server.poll() is None:
            self._cut_log()
            lease = try_exclusive(self._directory.lease)
            if self._stop_requested:
                return lease
            if lease is None:
                if idle_since is not None:
                    idle_since = None
                    self._publish(server, idle_since)
            elif idle_since is None:
                idle_since = elapsed()
                self._publish(server, idle_since)
            elif elapsed() - idle_since >= self._idle_seconds:
                return lease
            if lease is not None:
                lease.release()
            time.sleep(_POLL_SECONDS)
        return None

    def _cut_log(self) -> None:
        """Move a log that has grown long to the old one. A line may be lost in between."""
        with suppress(OSError):
            if self._directory.log.stat().st_size > MOST_LOG_BYTES:
                shutil.copyfile(self._directory.log, self._directory.last_log)
                os.truncate(self._directory.log, 0)

    def _publish(self, server: subprocess.Popen[bytes], idle_since: float | None) -> None:
        self._directory.publish(
            {
                "url": self._url,
                "watchdog_pid": os.getpid(),
                "server_pid": server.pid,
                **self._facts,
                "idle_seconds": self._idle_seconds,
                # By the wall clock, for the version before, and by the machine's uptime.
                "idle_since": None if idle_since is None else time.time() - (elapsed() - idle_since),
                "idle_elapsed": idle_since,
            }
        )

    def _stop(self, _signal: int, _frame: FrameType | None) -> None:
        self._stop_requested = True


def die_with_parent() -> None:
    """Have this process end if its parent is killed. Linux only; elsewhere it lives on."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


def _end(server: subprocess.Popen[bytes], directory: Path) -> None:
    """End a server, and all that it has started itself."""
    if server.poll() is None:
        server.terminate()
    with suppress(subprocess.TimeoutExpired):
        server.wait(_GRACE_SECONDS)
    end_group(server.pid)
    server.wait()
    end_marked(directory)


def _into_background() -> None:
    """Leave the caller's session and process tree."""
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)


def main() -> NoReturn:
    """The command line; see the module."""
    parser = argparse.ArgumentParser(prog="python -m tasks.backends.local.watchdog")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--url", required=True)
    parser.add_argument("--idle", type=float, required=True)
    parser.add_argument("--slots", type=int)
    parser.add_argument("--about")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    directory = ServerDirectory(arguments.directory)
    # Before this returns: the caller takes a watchdog that is not alive for one that has ended.
    alive = take_exclusive(directory.alive)
    directory.withdraw()  # left by a watchdog that was killed
    directory.stopped.unlink(missing_ok=True)
    facts = {"slots": arguments.slots, "about": arguments.about}
    end_marked(directory.path)
    _into_background()
    try:
        Watchdog(directory, arguments.url, arguments.idle, facts, arguments.command).run()
    finally:
        directory.withdraw()
        alive.release()
    sys.exit(0)


if __name__ == "__main__":
    main()
