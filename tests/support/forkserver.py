"""Start commands of the project from one process that has imported them already.

`python -m flows.cli.main` spends most of its processor time on imports of Prefect. A test that starts a dozen commands
pays for them a dozen times. Here one process for the whole test run imports everything once, and each command is a fork
of it: a process of its own, with its own environment, directory, descriptors, signals and exit code, that runs the
module as `python -m` does. Tests of the start itself use `subprocess`.

The fork server is started by the first command that asks for it and ends with the test run. A process that it started
is killed when whoever holds its `Process` is gone, so that no test process leaves one behind.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from tests.support.environment import clean
from tests.support.waiting import PATIENCE

ROOT = Path(__file__).parents[2]

SESSION = "TESTS_SESSION"
"""Names the directory and the process of the test run, for its worker processes."""

SETTINGS = {
    **{"DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"},
    # moto reads these when it is imported.
    **{"MOTO_ENABLE_AMI_VALIDATION": "1", "MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION": "1"},
}


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
        """Return all that it printed and has not been read yet, when it has ended."""
        printed: dict[str, list[str]] = {"stdout": [], "stderr": []}
        readers = [
            threading.Thread(target=lambda to, pipe: to.append(pipe.read()), args=(printed[name], pipe), daemon=True)
            for name, pipe in (("stdout", self.stdout), ("stderr", self.stderr))
            if pipe is not None and not pipe.closed
        ]
        for reader in readers:
            reader.start()
        deadline = None if timeout is None else time.monotonic() + timeout
        for reader in readers:
            reader.join(None if deadline is None else max(0.0, deadline - time.monotonic()))
            if reader.is_alive():
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
        self.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
        self._close()
        return "".join(printed["stdout"]), "".join(printed["stderr"])

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

    def __exit__(self, *_: object) -> None:
        """Wait for its end."""
        self._close()
        self.wait()

    def _close(self) -> None:
        for pipe in (self.stdout, self.stderr):
            if pipe is not None:
                pipe.close()

    def __del__(self) -> None:
        """Let go of it, and so have it killed: a test that failed has not waited for it."""
        self._close()
        os.close(self._status)

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


def start(
    module: str,
    *arguments: str,
    cwd: Path,
    env: Mapping[str, str],
    stdout: int | IO[Any] = subprocess.PIPE,
    stderr: int | IO[Any] = subprocess.PIPE,
    new_session: bool = False,
) -> Process:
    """Run a module of the project as `python -m MODULE ARGUMENTS` would, without its imports.

    Args:
        module: runs as `__main__`.
        arguments: of the command line.
        cwd: its directory.
        env: its whole environment.
        stdout: PIPE, DEVNULL, or a file to write to.
        stderr: likewise; or STDOUT.
        new_session: whether it leads a session, and so a process group, of its own.
    """
    pipes: dict[str, IO[str]] = {}
    opened: list[int] = []

    def descriptor(name: str, wanted: int | IO[Any]) -> int:
        if wanted == subprocess.PIPE:
            ours, theirs = os.pipe()
            pipes[name] = os.fdopen(ours, encoding="utf-8", errors="backslashreplace")
            opened.append(theirs)
            return theirs
        if wanted == subprocess.DEVNULL:
            opened.append(os.open(os.devnull, os.O_RDWR))
            return opened[-1]
        return wanted if isinstance(wanted, int) else wanted.fileno()

    out = descriptor("stdout", stdout)
    err = out if stderr == subprocess.STDOUT else descriptor("stderr", stderr)
    request = {"module": module, "arguments": arguments, "cwd": str(cwd), "env": dict(env), "session": new_session}
    connection = _connect()
    try:
        content = json.dumps(request).encode()
        connection.sendall(len(content).to_bytes(4, "big"))
        socket.send_fds(connection, [content[:1]], [out, err])
        connection.sendall(content[1:])
        pid = int.from_bytes(received(connection, 4), "big")
    finally:
        for each in opened:
            os.close(each)
    return Process([module, *arguments], pid, connection, pipes)


def run(module: str, *arguments: str, cwd: Path, env: Mapping[str, str]) -> str:
    """Run a module to its end, and return what it printed.

    Raises:
        AssertionError: it ended with an exit code other than 0.
    """
    with start(module, *arguments, cwd=cwd, env=env, stderr=subprocess.STDOUT) as process:
        printed, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, printed
    return printed


def log(session: str) -> Path:
    """Return where the fork server of a test run notes each process: its pid, the test, and the command."""
    return Path(session.rsplit(":", 1)[0]) / "forkserver.log"


def _connect() -> socket.socket:
    directory, pid = os.environ[SESSION].rsplit(":", 1)
    address = Path(directory) / "forkserver"
    with address.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not address.exists():
            _launch(address, int(pid))
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(address))
    return connection


def _launch(address: Path, session: int) -> None:
    """Start the fork server; who connects before it has imported everything waits."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(address))
    listener.listen(64)
    with address.with_suffix(".log").open("ab") as output:
        server = subprocess.Popen(
            [sys.executable, "-P", "-m", "tests.support.forkserver_main", str(listener.fileno()), str(session)],
            cwd=ROOT,
            env={**clean("AWS_"), **SETTINGS, "PREFECT_HOME": str(address.parent / "prefect"), "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=[listener.fileno()],
            start_new_session=True,
        )
    listener.close()
    server.returncode = 0  # it outlives this process's interest in it: nobody waits, and nothing warns of that


def received(connection: socket.socket, size: int) -> bytes:
    content = b""
    while len(content) < size:
        part = connection.recv(size - len(content))
        if not part:
            raise RuntimeError("The fork server has ended; its log is forkserver.log of the test run's directory.")
        content += part
    return content
