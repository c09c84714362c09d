"""A process that has imported Prefect and Hearth's flows, and forks for each run, so that no run waits for imports.

It is itself a fork of the worker (`flows.local.worker`), which has imported the same. Each fork for a run is a process
of its own with the environment, directory and descriptors of the run's process (`flows.local.run_launcher`), and is
killed if that is. Where a fork would differ from a new process, there is none, and the run starts anew: another
environment of the interpreter, other settings that Prefect reads on import, or code that was changed since.

When the worker has ended, and the last run after it, this process ends.
"""

import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from secrets import token_hex

from flows.local.forked_run import Fork, Request, receive_request
from flows.local.run_engine import run
from flows.local.run_launcher import peer_is_us

_REQUEST_SECONDS = 5.0
_MOST_WAITING = 64
_FIXED = ("PYTHON", "LD_", "LC_", "LANG", "MALLOC_", "OPENSSL_", "PREFECT_")
"""Variables that an interpreter, its libraries or Prefect read when they start."""
_FREE = ("PREFECT__", "PREFECT_API_", "PREFECT_CLIENT_", "PREFECT_LOGGING_", "PREFECT_UI_", "PREFECT_WORKER_")
"""Of these, variables that are read later."""


class _Server:
    """Forks for whoever asks.

    Args:
        listener: where runs ask.
        worker: a pipe that the worker holds open.
    """

    def __init__(self, listener: socket.socket, worker: int) -> None:
        self._listener, self._worker = listener, worker
        self._fixed = fixed_variables({**os.environ, **_settings()})
        self._files = [file for module in sys.modules.values() if (file := getattr(module, "__file__", None))]
        self._code = _changes(self._files)
        self._running: dict[int, socket.socket] = {}
        self._woken, self._wake = socket.socketpair()
        self._wake.settimeout(0)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        self._events = select.epoll()
        for descriptor in (listener.fileno(), worker, self._woken.fileno()):
            self._events.register(descriptor, select.EPOLLIN)

    def serve(self) -> None:
        """Fork for each run until the worker has ended, and wait for the last.

        Raises:
            Fork: in each fork.
        """
        while self._listener.fileno() >= 0 or self._running:
            for descriptor, _ in self._events.poll():
                if descriptor == self._woken.fileno():
                    self._woken.recv(4096)
                    self._reap()
                elif descriptor == self._worker:
                    self._events.unregister(descriptor)
                    self._listener.close()
                elif descriptor == self._listener.fileno():
                    self._accept()
                else:
                    self._kill(descriptor)

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        connection.settimeout(_REQUEST_SECONDS)
        request = receive_request(connection) if peer_is_us(connection) else None
        if request is None:
            connection.close()
            return
        pid = os.fork() if self._suits(request) else None
        if pid == 0:
            self._leave()
            raise Fork(request, connection)
        request.close()
        if pid is None:
            connection.close()  # the run starts anew
            return
        self._running[pid] = connection
        # Not for what the run's process sends to the fork.
        self._events.register(connection, select.EPOLLRDHUP)

    def _suits(self, request: Request) -> bool:
        if _changes(self._files) != self._code:
            self._listener.close()  # all other runs start anew as well
            return False
        return fixed_variables(request.environment) == self._fixed

    def _kill(self, descriptor: int) -> None:
        """Kill the fork of a run whose process has been killed."""
        with suppress(KeyError, OSError):  # it may have ended meanwhile
            self._events.unregister(descriptor)
        for pid, connection in self._running.items():
            if connection.fileno() == descriptor:
                os.kill(pid, signal.SIGKILL)

    def _reap(self) -> None:
        """Tell the run's process how its fork has ended."""
        while self._running:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            with self._running.pop(pid) as connection, suppress(OSError):
                connection.sendall(str(os.waitstatus_to_exitcode(status)).encode())

    def _leave(self) -> None:
        """Close what belongs to the server."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._events.close()
        os.close(self._worker)
        for each in (self._listener, self._woken, self._wake, *self._running.values()):
            each.close()


def fixed_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that a process reads when it starts, which a fork cannot read again."""
    return {
        name: value for name, value in environment.items() if name.startswith(_FIXED) and not name.startswith(_FREE)
    }


def _settings() -> dict[str, str]:
    """Return Prefect's settings, with which the worker starts each run, as variables."""
    from prefect.settings import get_current_settings

    return get_current_settings().to_environment_variables(exclude_unset=True)


def _changes(files: Iterable[str]) -> list[int]:
    """Return when each file was changed; 0 for one that is gone."""
    changes = []
    for file in files:
        try:
            changes.append(os.stat(file).st_mtime_ns)  # noqa: PTH116 - two thousand files
        except OSError:
            changes.append(0)
    return changes


def start_warm_engine() -> str | None:
    """Fork the engine, and return the abstract address where it serves; None where a run cannot be forked.

    Call it when all is imported, and before a thread or an event loop is started.
    """
    if sys.platform != "linux" or threading.active_count() > 1:  # a fork has no thread but its own
        return None
    address = f"hearth-{token_hex(16)}"
    worker, held = os.pipe()  # the other end stays open until this process ends
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"\0{address}")
        listener.listen(_MOST_WAITING)
        if os.fork() == 0:
            os.close(held)
            serve(listener, worker)
            sys.exit()
    os.close(worker)
    return address


def serve(listener: socket.socket, worker: int) -> None:
    """Serve; in each fork, do the run.

    Args:
        listener: where runs ask.
        worker: a pipe that the worker holds open.
    """
    try:
        _Server(listener, worker).serve()
    except Fork as fork:
        fork.become()
        run()
