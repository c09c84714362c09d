"""A fork of the warm engine that becomes the process of a run."""

import json
import logging
import os
import random
import signal
import socket
import sys
import time
from dataclasses import dataclass
from typing import Any

from flows.local.run_launcher import BEGIN, SIZE, receive
from tasks.settings.trust import ignore_config_files

_LONGEST_REQUEST = 2**24
_STANDARD = (0, 1, 2)


@dataclass(frozen=True)
class Request:
    """The environment, the directory and the standard descriptors of a run's process."""

    environment: dict[str, str]
    directory: str
    descriptors: tuple[int, ...]

    def close(self) -> None:
        """Close the descriptors."""
        for descriptor in self.descriptors:
            os.close(descriptor)


class Fork(Exception):  # noqa: N818 - it unwinds the server in a fork, so that the run is at the top of the stack
    """This process is a fork, for a request."""

    def __init__(self, request: Request, connection: socket.socket) -> None:
        super().__init__()
        self._request, self._connection = request, connection

    def become(self) -> None:
        """Become what a new process would be; end if the run's process is gone."""
        with self._connection as connection:
            try:
                connection.sendall(SIZE.pack(os.getpid()))
                connection.settimeout(None)
                begin = connection.recv(1)
            except OSError:
                begin = b""
        if begin != BEGIN:
            os._exit(1)
        request = self._request
        for number, descriptor in zip(_STANDARD, request.descriptors, strict=True):
            os.dup2(descriptor, number)
        request.close()
        os.chdir(request.directory)
        logged = _logging_settings()
        os.environ.clear()
        os.environ.update(request.environment)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        random.seed()
        time.tzset()
        sys.argv = sys.argv[:1]
        _read_settings()
        if _logging_settings() != logged:
            _configure_logging()


def receive_request(connection: socket.socket) -> Request | None:
    """Return the request that a run's process sends; None if it is none, or does not arrive in time."""
    descriptors: list[int] = []
    try:
        head, descriptors, _, _ = socket.recv_fds(connection, SIZE.size, len(_STANDARD))
        (size,) = SIZE.unpack(head + receive(connection, SIZE.size - len(head)))
        if size <= _LONGEST_REQUEST and len(descriptors) == len(_STANDARD):
            sent = json.loads(receive(connection, size))
            return Request(sent["environment"], sent["directory"], tuple(descriptors))
    except (OSError, EOFError, ValueError):
        pass
    for descriptor in descriptors:
        os.close(descriptor)
    return None


def _read_settings() -> None:
    """Have Prefect read its settings again, as it does on import."""
    from prefect.context import refresh_global_settings_context

    from flows.orchestrator.ephemeral import secure_ephemeral_server

    ignore_config_files()
    refresh_global_settings_context()
    secure_ephemeral_server()


def _logging_settings() -> tuple[Any, dict[str, str]]:
    """Return all that may change in a run's environment and configures its logging."""
    from prefect.settings import get_current_settings

    variables = {name: value for name, value in os.environ.items() if name.startswith("PREFECT_LOGGING_")}
    return get_current_settings().logging, variables


def _configure_logging() -> None:
    """Have Prefect configure logging anew: that takes 70 ms of processor time (measured)."""
    from prefect.logging.configuration import PROCESS_LOGGING_CONFIG, setup_logging

    logging.root.handlers.clear()
    PROCESS_LOGGING_CONFIG.clear()
    setup_logging()
