"""A process that the fork server started, with its output, signals and exit code."""

from __future__ import annotations

import math
import os
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from typing import IO


class Process:
    """A command that the fork server started, as `subprocess.Popen` has it with `text=True`.

    Attributes:
        pid: of the process itself.
        stdout: what it prints, if it was asked for with PIPE.
        stderr: likewise.
        returncode: its exit code, negative for a signal; None until it is waited for or polled.
    """

    def __init__(self, arguments: Sequence[str], pid: int, status: socket.socket, pipes: Mapping[str, IO[str]]) -> None:
        self.args = list(arguments)
        self.pid = pid
        self.returncode: int | None = None
        self.stdout = pipes.get("stdout")
        self.stderr = pipes.get("stderr")
        self._readers: list[_Reader] = []
        self._status = status.detach()  # a socket that nobody has closed would warn, and be closed too early

    def poll(self) -> int | None:
        """Return the exit code if it has ended, else None."""
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended, and return its exit code."""
        if self._look(timeout) is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        assert self.returncode is not None
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Return all that it printed and has not been read yet, when it has ended; call it again after a timeout."""
        self._readers = self._readers or [_Reader(self.stdout), _Reader(self.stderr)]
        deadline = None if timeout is None else time.monotonic() + timeout
        for reader in self._readers:
            reader.join(_left(deadline))
            if reader.is_alive():
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
        self.wait(_left(deadline))
        out, err = (reader.text for reader in self._readers)
        return out, err

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Process:
        """Return itself."""
        return self

    def __exit__(self, failed: object, *_: object) -> None:
        """Wait for its end; after a failure it is ended."""
        if failed:
            self.kill()
        self._close()
        self.wait()

    def _close(self) -> None:
        for pipe in (self.stdout, self.stderr):
            if pipe is not None and not self._readers:  # who reads closes, and would be waited for here
                pipe.close()

    def __del__(self) -> None:
        """Let go of it, and so have it killed: a test that failed has not waited for it."""
        os.close(self._status)
        self._close()

    def _look(self, timeout: float | None) -> int | None:
        """Read the exit code and leave it there: several threads may wait for one process."""
        if self.returncode is None:
            waiting = select.poll()
            waiting.register(self._status, select.POLLIN)
            if not waiting.poll(None if timeout is None else math.ceil(timeout * 1000)):
                return None
            with socket.socket(fileno=os.dup(self._status)) as status:
                told = status.recv(64, socket.MSG_PEEK)
            if not told:
                raise RuntimeError("The fork server has ended.")
            self.returncode = int(told)
        return self.returncode


class _Reader(threading.Thread):
    """Reads a pipe to its end, which may be that of whoever inherited it, and closes it."""

    def __init__(self, pipe: IO[str] | None) -> None:
        super().__init__(daemon=True)
        self.text = ""
        self._pipe = pipe
        self.start()

    def run(self) -> None:
        if self._pipe is not None and not self._pipe.closed:
            with self._pipe:
                self.text = self._pipe.read()


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())
