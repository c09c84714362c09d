"""How a worker's run ends: by SIGTERM, which is Prefect's cancellation or the machine's end, and not with its worker.

Prefect's handler raises an exception wherever the program happens to be, in a task whose outcome nobody looks at, too.
Then it is lost: the run reads on until it is killed with its slots and its lease, or waits for that task for ever.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, cast

from prefect.logging.handlers import PrefectConsoleHandler


@contextmanager
def ended_by_sigterm() -> Iterator[Callable[[], bool]]:
    """Have the task of a worker's run that enters this cancelled by SIGTERM, whatever becomes of Prefect's exception.

    Prefect's handler stays where it is, since Prefect asks for it. A command has one of its own: see `Termination`.

    Yields:
        Tells whether the signal has come.
    """
    task = asyncio.current_task()
    if task is None or not _worker_runs_this() or threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    _outlive_worker()
    loop = asyncio.get_running_loop()
    told, telling = socket.socketpair()
    with told, telling:
        told.settimeout(0)
        telling.settimeout(0)

        heard: set[int] = set()

        def came() -> bool:
            with suppress(BlockingIOError):
                heard.update(told.recv(4096))
            return signal.SIGTERM in heard

        def hear() -> None:
            # Where the exception came through, all tasks are being cancelled: a second time would cut off what they
            # give back.
            if came() and not task.cancelling():
                task.cancel()

        before = signal.set_wakeup_fd(telling.fileno(), warn_on_full_buffer=False)
        loop.add_reader(told, hear)
        try:
            yield came
        finally:
            loop.remove_reader(told)
            signal.set_wakeup_fd(before)


def _outlive_worker() -> None:
    """Have the run go on when its worker was killed.

    Its console is a pipe to the worker. At the first line that is logged into a broken pipe, rich ends the process
    (`Console.on_broken_pipe`), with pages in flight, and their slots held.
    """
    loggers = [logging.getLogger(), *map(logging.getLogger, logging.root.manager.loggerDict)]
    for handler in {handler for logger in loggers for handler in logger.handlers}:
        if isinstance(handler, PrefectConsoleHandler):
            silence = partial(setattr, handler.console, "quiet", True)  # noqa: FBT003  setattr's
            vars(handler.console)["on_broken_pipe"] = silence


def _worker_runs_this() -> bool:
    return "PREFECT__FLOW_RUN_ID" in os.environ


class Termination:
    """SIGTERM of a command as an end of the run like Ctrl-C's: its task is cancelled, and what it holds is given back.

    Its handler takes the place of Prefect's.

    Attributes:
        came: the signal did.
    """

    def __init__(self) -> None:
        """Of the task that makes this."""
        self.came = False
        self._run = cast("asyncio.Task[Any]", asyncio.current_task())
        self._loop = asyncio.get_running_loop()
        self._before = signal.getsignal(signal.SIGTERM)

    def catch(self) -> None:
        """Take SIGTERM, as soon as Prefect has."""
        if threading.current_thread() is not threading.main_thread():
            return
        if signal.getsignal(signal.SIGTERM) not in {self._before, self._end}:
            signal.signal(signal.SIGTERM, self._end)

    def _end(self, *_: object) -> None:
        self.came = True
        self._loop.call_soon_threadsafe(self._run.cancel)
