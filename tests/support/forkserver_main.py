"""The fork server itself: it imports everything once, and forks for whoever asks.

`python -m tests.support.forkserver_main LISTENER SESSION` is started by `tests.support.forkserver`.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import pkgutil
import selectors
import signal
import socket
import sys
import threading
import time
from typing import Any

import flows.cli
from tasks.core.authorities import read_authorities_late
from tests.support.fork_command import Frozen, become, run_module
from tests.support.forkserver import received

WITHOUT_PREFECT = (
    *(f"flows.cli.{module.name}" for module in pkgutil.iter_modules(flows.cli.__path__)),  # imported lazily by `main`
    "tasks.embedded.__main__",
    "boto3",
    "moto.server",
    *(f"moto.{name}.models" for name in ("autoscaling", "cloudformation", "cloudwatch", "dynamodb", "ec2", "ecs")),
    *(f"moto.{name}.models" for name in ("elbv2", "iam", "logs", "s3", "sagemaker", "ssm", "sts")),
)

WITH_PREFECT = (
    "flows.idle_shutdown",
    "flows.plan_costs",
    "flows.local.run_flow",
    "flows.local.bring_up",
    "flows.api.app",
    "flows.api.service",
    "prefect.cli",
    "prefect.server.api.server",
    "prefect.workers.process",
)

AT_A_TERMINAL = ("flows.cli",)
"""Modules whose consoles look at the environment when they are imported: each command imports them anew."""

_FAREWELL_SECONDS = 10.0


class _InChildError(Exception):
    """Unwinds the server in a fork, so that the command runs at the top of the stack."""

    def __init__(self, request: dict[str, Any], descriptors: list[int]) -> None:
        super().__init__(request["module"])
        self.request = request
        self.descriptors = descriptors


class _Server:
    def __init__(self, listener: socket.socket, session: int) -> None:
        self._listener = listener
        self._session = os.pidfd_open(session)
        self._wake, wake = socket.socketpair()
        self._waker = wake
        wake.setblocking(False)
        self._running: dict[int, socket.socket] = {}
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        self._selector = selectors.DefaultSelector()
        for each in (listener, self._session, self._wake):
            self._selector.register(each, selectors.EVENT_READ)

    def serve(self) -> None:
        """Fork for whoever asks, until the test run has ended.

        Raises:
            _InChildError: in each fork.
        """
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._listener:
                    self._accept()
                elif key.fileobj is self._wake:
                    self._wake.recv(4096)
                    self._reap()
                elif key.fileobj == self._session:
                    self._end()
                    return
                else:  # nobody holds the process any more
                    self._selector.unregister(key.fileobj)
                    os.kill(key.data, signal.SIGKILL)

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        size = int.from_bytes(received(connection, 4), "big")
        first, descriptors, _, _ = socket.recv_fds(connection, 1, 2)
        request = json.loads(first + received(connection, size - 1))
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            self._close()
            connection.close()
            raise _InChildError(request, descriptors)
        for each in descriptors:
            os.close(each)
        test = request["env"].get("PYTEST_CURRENT_TEST", "no test")
        sys.stdout.write(f"{pid}\t{test}\t{' '.join([request['module'], *request['arguments']])}\n")
        sys.stdout.flush()
        self._running[pid] = connection
        self._selector.register(connection, selectors.EVENT_READ, pid)
        with contextlib.suppress(OSError):
            connection.sendall(pid.to_bytes(4, "big"))

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            connection = self._running.pop(pid, None)
            if connection is not None:
                with contextlib.suppress(KeyError):  # its holder is gone
                    self._selector.unregister(connection)
                with contextlib.suppress(OSError):
                    connection.sendall(str(os.waitstatus_to_exitcode(status)).encode())
                connection.close()

    def _end(self) -> None:
        for number, seconds in ((signal.SIGTERM, _FAREWELL_SECONDS), (signal.SIGKILL, 1.0)):
            for pid in self._running:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            deadline = time.monotonic() + seconds
            while self._running and time.monotonic() < deadline:
                time.sleep(0.05)
                self._reap()

    def _close(self) -> None:
        self._selector.close()
        for each in (self._listener, self._wake, self._waker, *self._running.values()):
            each.close()
        os.close(self._session)


def main(listener: int, session: int) -> None:
    """Serve, and in each fork run the command."""
    for name in WITHOUT_PREFECT:
        importlib.import_module(name)
    known = set(sys.modules)
    assert "prefect" not in known
    for name in WITH_PREFECT:
        importlib.import_module(name)
    late = {name for name in set(sys.modules) - known if name.partition(".")[0] in {"prefect", "flows", "tasks"}}
    read_authorities_late()
    assert threading.active_count() == 1, threading.enumerate()  # a fork has none but its own
    gc.collect()
    gc.freeze()
    server = _Server(socket.socket(fileno=listener), session)
    try:
        server.serve()
    except _InChildError as child:
        request, descriptors = child.request, child.descriptors
    else:
        return
    become(request, descriptors)
    own = {request["module"], f"{request['module']}.__main__"}
    for name in [name for name in sys.modules if name in own or name.startswith(AT_A_TERMINAL)]:
        del sys.modules[name]
    sys.meta_path.insert(0, Frozen(late & set(sys.modules)))
    run_module(request["module"])


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
