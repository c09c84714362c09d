"""Slots for inferences, and models: loaded at the first use, unloaded a while after the last."""

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tasks.embedded.engine import Engine, PageText, Reader
from tasks.embedded.errors import QueueFullError
from tasks.embedded.models import Model

T = TypeVar("T")

FOREVER_S = 2**63 / 1e9
"""The longest Go duration, 292 years, which Ollama shows for a model that never expires."""


class Slots:
    """A first-come, first-served limit on calls that run in threads."""

    def __init__(self, count: int) -> None:
        self.count = count
        # Fair since Python 3.11: a newcomer never overtakes a waiter, and a cancelled waiter leaves the queue.
        self._free = asyncio.Semaphore(count)
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="slot")

    async def run(self, call: Callable[[], T], done: Callable[[], None]) -> T:
        """Wait for a slot, then run `call` in a thread.

        A caller that is cancelled while it waits leaves the queue. One that is cancelled later returns at once, while
        the slot stays taken until the call, which cannot be interrupted, ends. `done` is called on the event loop when
        the caller no longer needs the model: after the call has ended, or after a cancelled wait.
        """
        try:
            await self._free.acquire()
        except asyncio.CancelledError:
            done()
            raise

        def finish(ended: asyncio.Future[T]) -> None:
            self._free.release()
            done()
            if not ended.cancelled():
                ended.exception()  # Marks it as seen: the caller may be gone.

        future = asyncio.get_running_loop().run_in_executor(self._pool, call)
        future.add_done_callback(finish)
        return await asyncio.shield(future)

    def close(self) -> None:
        """Accept no more calls, without waiting for those that run."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class Runner:
    """A model that is loading or loaded, with its expiry."""

    def __init__(self, model: Model, load: Mapping[str, object], keep_alive: float) -> None:
        self.model = model
        self.load = load
        self.keep_alive = keep_alive
        self.unloaded = asyncio.Event()
        self.readers: list[Reader] = []
        self._users = 1
        self._timer: asyncio.TimerHandle | None = None
        self._used_at = time.time()

    @property
    def num_ctx(self) -> int:
        """The context with which it was loaded, in tokens."""
        return int(str(self.load["num_ctx"]))

    @property
    def expires_at(self) -> float:
        """Unix time at which the model is unloaded if it is not used until then."""
        return (time.time() if self._users else self._used_at) + min(self.keep_alive, FOREVER_S)

    def fits(self, load: Mapping[str, object]) -> bool:
        """Return whether requests with these load options can use it without a reload."""
        # A negative num_gpu leaves the number of layers to Ollama: the current one then fits.
        return self.load == ({**load, "num_gpu": self.load["num_gpu"]} if load["num_gpu"] == -1 else load)

    def retain(self, keep_alive: float | None) -> None:
        """Begin a use. Its keep-alive, if any, replaces the model's."""
        self._users += 1
        self._stop_timer()
        if keep_alive is not None:
            self.keep_alive = keep_alive

    def release(self) -> None:
        """End a use. The last one starts the expiry."""
        self._users -= 1
        self._used_at = time.time()
        if self._users == 0:
            self._start_timer()

    def expire(self) -> None:
        """Unload now, or when the last use ends."""
        self.keep_alive = 0
        if self._users == 0:
            self._start_timer()

    def unload(self) -> None:
        """Release the weights."""
        self._stop_timer()
        self.readers.clear()
        self.unloaded.set()

    def read(self, image: bytes) -> str | PageText:
        """Read an image with a free reader; there is one for each slot."""
        reader = self.readers.pop()
        try:
            return reader(image)
        finally:
            self.readers.append(reader)

    def _start_timer(self) -> None:
        self._stop_timer()
        if self.keep_alive <= 0:
            self.unload()
        elif self.keep_alive < math.inf:
            self._timer = asyncio.get_running_loop().call_later(self.keep_alive, self.unload)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Runners:
    """The loaded models, and the queue of requests that wait for a load."""

    def __init__(self, engine: Engine, slots: Slots, *, keep_alive: float, max_queue: int) -> None:
        """Load with `engine`, one reader per slot; models stay `keep_alive` seconds unless a request says otherwise."""
        self._engine = engine
        self._slots = slots
        self._keep_alive = keep_alive
        self._max_queue = max_queue
        self._waiting = 0
        self._queue = asyncio.Lock()
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="loader")
        self._runners: dict[str, Runner] = {}

    def running(self) -> list[Runner]:
        """Return the models that are loading or loaded, the latest expiry first."""
        live = [runner for runner in self._runners.values() if not runner.unloaded.is_set()]
        return sorted(live, key=lambda runner: runner.expires_at, reverse=True)

    async def acquire(self, model: Model, load: Mapping[str, object], keep_alive: float | None) -> Runner:
        """Return the model, loaded with these options, to be released after use.

        Requests are served in order of arrival. The first one loads the model for all behind it; when its
        client goes away, the load is abandoned and the next request starts it again, as in Ollama.

        Raises:
            QueueFullError: If too many requests wait already.
        """
        if self._queue.locked() and self._waiting >= self._max_queue:
            raise QueueFullError("server busy, please try again.  maximum pending requests exceeded")
        self._waiting += 1
        try:
            await self._queue.acquire()
        finally:
            self._waiting -= 1
        try:
            runner = self._runners.get(model.name)
            if runner is not None and not runner.unloaded.is_set():
                if runner.fits(load) and runner.model.digest == model.digest:
                    runner.retain(keep_alive)
                    return runner
                runner.expire()
                await runner.unloaded.wait()
            return await self._load(model, load, self._keep_alive if keep_alive is None else keep_alive)
        finally:
            self._queue.release()

    async def _load(self, model: Model, load: Mapping[str, object], keep_alive: float) -> Runner:
        runner = self._runners[model.name] = Runner(model, load, keep_alive)
        try:
            runner.readers = await asyncio.get_running_loop().run_in_executor(
                self._loader, lambda: [self._engine(*model.weights) for _ in range(self._slots.count)]
            )
        except BaseException:
            runner.unload()
            raise
        return runner

    def expire(self, model: Model) -> None:
        """Unload a model now, or when its last use ends."""
        if runner := self._runners.get(model.name):
            runner.expire()

    def close(self) -> None:
        """Unload all models, without waiting for a load that is running."""
        self._loader.shutdown(wait=False, cancel_futures=True)
        for runner in self._runners.values():
            runner.unload()
