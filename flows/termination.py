"""SIGTERM of a worker's run: Prefect's cancellation, or the end of the machine.

Prefect's handler raises an exception wherever the program happens to be, in a task whose outcome nobody looks at, too:
then it is lost, and the run reads on until Prefect kills it half a minute later, with its slots and its lease.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Have the task that enters this cancelled by SIGTERM, whatever becomes of Prefect's exception.

    Prefect's handler stays where it is, since Prefect asks for it. A command has a handler of its own.
    """
    task = asyncio.current_task()
    if task is None or not _worker_runs_this() or threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    told, telling = socket.socketpair()
    with told, telling:
        told.settimeout(0)
        telling.settimeout(0)

        def hear() -> None:
            # Where the exception came through, all tasks are being cancelled: a second time would cut off what they
            # give back.
            if signal.SIGTERM in told.recv(4096) and not task.cancelling():
                task.cancel()

        before = signal.set_wakeup_fd(telling.fileno(), warn_on_full_buffer=False)
        loop.add_reader(told, hear)
        try:
            yield
        finally:
            loop.remove_reader(told)
            signal.set_wakeup_fd(before)


def _worker_runs_this() -> bool:
    return "PREFECT__FLOW_RUN_ID" in os.environ
