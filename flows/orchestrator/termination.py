"""End an interrupted run as cancelled: by Ctrl-C, by its caller, or by SIGTERM, but not when its worker ends.

SIGTERM means Prefect's cancellation, or the end of the machine. Prefect's handler raises an exception wherever the
program happens to be, even in a task whose outcome nobody awaits. Then the exception is lost: the run reads on until it
is killed with its slots and its lease, or waits for that task for ever.
"""

import asyncio
import logging
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import Any, cast

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.logging.handlers import PrefectConsoleHandler
from prefect.states import Cancelled

_SECONDS = 10.0
"""How long Prefect may take to record the state: less than a command takes to end."""


@asynccontextmanager
async def cancel_if_interrupted(terminated: Callable[[], bool]) -> AsyncIterator[None]:
    """Set the state of a run that is interrupted in the body to Cancelled; Prefect itself would set it to Crashed.

    It does nothing if `terminated` returns that SIGTERM ended a worker's run: then Prefect sets the state itself.
    """
    try:
        yield
    except (asyncio.CancelledError, KeyboardInterrupt) as error:
        context = FlowRunContext.get()
        if context is not None and context.flow_run is not None and not terminated():
            message = "It was interrupted. The pages stored so far are kept: run it again, or Retry, to go on."
            state: State[Any] = Cancelled(message=message)
            with suppress(httpx.HTTPError, PrefectHTTPStatusError, ObjectNotFound, TimeoutError):
                async with asyncio.timeout(_SECONDS), get_client() as client:
                    await client.set_flow_run_state(context.flow_run.id, state, force=True)
                    # Prefect's engine then leaves this state as it is, and raises the error in it.
                    context.flow_run.state = state.model_copy(update={"data": error})
        raise


@contextmanager
def cancel_on_sigterm() -> Iterator[Callable[[], bool]]:
    """Have SIGTERM cancel the current task of a worker's run, even if Prefect's exception is lost.

    Prefect's handler stays installed, since Prefect checks for it. A command has its own: see `Termination`.

    Yields:
        A function that returns whether the signal has arrived.
    """
    task = asyncio.current_task()
    if (
        task is None
        or "PREFECT__FLOW_RUN_ID" not in os.environ
        or threading.current_thread() is not threading.main_thread()
    ):
        yield lambda: False
        return
    _outlive_worker()
    loop = asyncio.get_running_loop()
    reader, writer = socket.socketpair()
    with reader, writer:
        reader.settimeout(0)
        writer.settimeout(0)
        signals: set[int] = set()

        def arrived() -> bool:
            with suppress(BlockingIOError):
                signals.update(reader.recv(4096))
            return signal.SIGTERM in signals

        def on_signal() -> None:
            # If the exception was not lost, all tasks are being cancelled already, and a second cancellation would
            # interrupt their clean-up.
            if arrived() and not task.cancelling():
                task.cancel()

        before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        loop.add_reader(reader, on_signal)
        try:
            yield arrived
        finally:
            loop.remove_reader(reader)
            signal.set_wakeup_fd(before)


def _outlive_worker() -> None:
    """Let the run go on when its worker is killed.

    Its console is a pipe to the worker. At the first line that is logged into a broken pipe, rich ends the process
    (`Console.on_broken_pipe`) while pages are in flight and their slots are held.
    """
    names = list(logging.root.manager.loggerDict)  # at once: other threads create loggers meanwhile
    loggers = [logging.getLogger(), *map(logging.getLogger, names)]
    for handler in {handler for logger in loggers for handler in logger.handlers}:
        if isinstance(handler, PrefectConsoleHandler):
            silence = partial(setattr, handler.console, "quiet", True)  # noqa: FBT003  setattr's
            vars(handler.console)["on_broken_pipe"] = silence


class Termination:
    """Handles SIGTERM of a command like Ctrl-C: the task that creates this is cancelled, and releases what it holds.

    Attributes:
        arrived: whether the signal has arrived.
    """

    def __init__(self) -> None:
        self.arrived = False
        self._run = cast("asyncio.Task[Any]", asyncio.current_task())
        self._loop = asyncio.get_running_loop()
        self._before = signal.getsignal(signal.SIGTERM)

    def catch(self) -> None:
        """Replace Prefect's handler of SIGTERM, once it is installed."""
        if threading.current_thread() is not threading.main_thread():
            return
        if signal.getsignal(signal.SIGTERM) not in {self._before, self._end}:
            signal.signal(signal.SIGTERM, self._end)

    def _end(self, *_: object) -> None:
        self.arrived = True
        self._loop.call_soon_threadsafe(self._run.cancel)
