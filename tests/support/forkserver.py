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
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from tests.support.environment import clean
from tests.support.forked_process import Process
from tests.support.waiting import PATIENCE

ROOT = Path(__file__).parents[2]

SESSION = "XDG_TESTS_SESSION"
"""Names the directory and the process of the test run, for its worker processes.

Servers of this machine inherit few variables: those of XDG are among them.
"""

SETTINGS = {
    **{"DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"},
    # moto reads these when it is imported.
    **{"MOTO_ENABLE_AMI_VALIDATION": "1", "MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION": "1"},
}


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


def begin() -> Path:
    """Start the fork server, unless it was started, and return its address."""
    directory, pid = os.environ[SESSION].rsplit(":", 1)
    address = Path(directory) / "forkserver"
    with address.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not address.exists():
            _launch(address, int(pid))
    return address


def _connect() -> socket.socket:
    address = begin()
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
