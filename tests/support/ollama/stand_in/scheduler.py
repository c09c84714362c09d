"""The model that the stand-in has in memory, and its expiry."""

from __future__ import annotations

import asyncio

from tests.support.ollama.stand_in.runner import Runner
from tests.support.ollama.stand_in.weights import Model

KEEP_ALIVE_SECONDS = 300.0


class Scheduler:
    """The scheduler, which keeps one model in memory."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._turn = asyncio.Lock()
        self._expiry: asyncio.TimerHandle | None = None
        self._unloading: set[asyncio.Task[None]] = set()
        self.keep_alive = KEEP_ALIVE_SECONDS
        self.runner: Runner | None = None

    async def acquire(self, model: Model, num_ctx: int) -> Runner:
        """Return the model loaded with that context, used once more."""
        async with self._turn:
            runner = self.runner
            if runner is not None and not (runner.lives and (runner.model, runner.num_ctx) == (model, num_ctx)):
                while runner.users:
                    await asyncio.sleep(0.01)
                await self.unload()
                runner = None
            if runner is None:
                self.runner = runner = Runner(model, num_ctx, self._slots)
                try:
                    await runner.ready()
                except BaseException:
                    await self.unload()
                    raise
            runner.users += 1
            self._stay()
            return runner

    def release(self, runner: Runner) -> None:
        """End a use."""
        runner.users -= 1
        if runner is self.runner and not runner.users and self.keep_alive >= 0:
            self._expiry = asyncio.get_running_loop().call_later(self.keep_alive, self._expire)

    async def unload(self) -> None:
        """Unload the model in memory."""
        self._stay()
        runner, self.runner = self.runner, None
        if runner is not None:
            await runner.stop()

    def _stay(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None

    def _expire(self) -> None:
        task = asyncio.ensure_future(self.unload())
        self._unloading.add(task)
        task.add_done_callback(self._unloading.discard)
