"""The process of one run, as Prefect's worker starts it: a fork of the warm engine does the run, or it does so itself.

`python -I -S run_launcher.py ADDRESS ARGUMENTS...` asks the warm engine (`flows.local.warm_engine`) at an abstract
address for a fork with this process's environment, directory and descriptors. It passes SIGTERM on to the fork, and
ends as that ends. Where there is no fork to be had, it becomes a Python process with these arguments. It imports
nothing of the project, so that it starts at once.
"""

import json
import os
import select
import signal
import socket
import struct
import sys

SIZE = struct.Struct("!I")
BEGIN = b"b"
_ANSWER_SECONDS = 30.0
"""Longest wait for a fork. The warm engine may still be importing."""
_UNKNOWN = 1


def peer_is_us(connection: socket.socket) -> bool:
    """Return whether the process at the other end is this user's; anybody can use an abstract address."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, user, _ = struct.unpack("3i", credentials)
    return bool(user == os.geteuid())


def receive(connection: socket.socket, size: int) -> bytes:
    """Return so many bytes; raise EOFError if fewer arrive."""
    content = b""
    while len(content) < size:
        part = connection.recv(size - len(content))
        if not part:
            raise EOFError
        content += part
    return content


def _fork(address: str) -> tuple[int, socket.socket] | None:
    """Return a fork's descriptor and the connection that tells how it ends; None if there is no fork to be had."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(_ANSWER_SECONDS)
    try:
        connection.connect(f"\0{address}")
        if not peer_is_us(connection):
            return None
        directory = os.getcwd()  # noqa: PTH109 - pathlib takes as long to import as all the rest
        request = json.dumps({"environment": dict(os.environ), "directory": directory}).encode()
        socket.send_fds(connection, [SIZE.pack(len(request))], [0, 1, 2])
        connection.sendall(request)
        (pid,) = SIZE.unpack(receive(connection, SIZE.size))
        process = os.pidfd_open(pid)
    except (OSError, EOFError):
        connection.close()  # a fork that is not told to begin ends
        return None
    connection.settimeout(None)
    return process, connection


def main() -> None:
    """Run the flow run that the environment names."""
    forked = _fork(sys.argv[1])
    if forked is None:
        os.execv(sys.executable, [sys.executable, *sys.argv[2:]])  # noqa: S606 - no shell
    process, connection = forked
    signal.signal(signal.SIGTERM, lambda number, _: signal.pidfd_send_signal(process, number))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to the fork as well
    connection.sendall(BEGIN)
    try:
        code = int(connection.recv(64))
    except (OSError, ValueError):  # the warm engine is gone; the fork goes on, and reports to Prefect itself
        select.select([process], [], [])
        code = _UNKNOWN
    if code < 0:
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


if __name__ == "__main__":
    main()
