"""The servers of a batch: its documents are read on the same ones, and no slot idles between two documents."""

import asyncio
from collections.abc import Iterable
from contextlib import AsyncExitStack
from contextvars import copy_context
from types import TracebackType
from typing import Self

from flows.engine.server_group import ServerGroup, new_server_group
from tasks.batches.batch import Batch
from tasks.core.budget import Budget
from tasks.runs.cost_tracker import UsageObserver
from tasks.runs.prepare import Setup, choose_setup
from tasks.settings.settings import Settings


class SharedServerGroup:
    """The servers of a batch, acquired when the first of its documents needs one. Use as an async context manager.

    `observer` records their use; for `budget` and `pages` see `ServerRequirements`.
    """

    def __init__(
        self, batch: Batch, settings: Settings, observer: UsageObserver, budget: Budget, pages: Iterable[int]
    ) -> None:
        self._batch, self._settings = batch, settings
        self._observer, self._budget, self._pages = observer, budget, pages
        self._acquiring = asyncio.Lock()
        self._exits = AsyncExitStack()
        self._group: ServerGroup | None = None
        self._choosing = asyncio.Lock()
        self._setup: Setup | None = None
        self._context = copy_context()

    async def __aenter__(self) -> Self:
        """Acquire nothing yet."""
        self._context = copy_context()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release the servers."""
        await self._exits.aclose()

    @property
    def stopped(self) -> str:
        """Why no more pages are begun; empty while they are."""
        return self._group.stopped if self._group is not None else ""

    @property
    def usd(self) -> float:
        """What the machines have cost so far, USD."""
        return self._group.costs.usd if self._group is not None else 0.0

    async def acquired(self, holder: str) -> ServerGroup:
        """Return the servers; the first call acquires them, for `holder`."""
        async with self._acquiring:
            if self._group is None:
                # In the batch's own context: the servers' events are the batch's, not the first document's.
                self._group = await asyncio.create_task(self._acquire(holder), context=self._context)
            return self._group

    async def setup(self) -> Setup:
        """Return how the batch's documents are read; chosen once.

        Raises:
            InputError: the options contradict each other, or the backend lacks a setting.
        """
        async with self._choosing:
            if self._setup is None:
                self._setup = await asyncio.to_thread(choose_setup, self._batch, self._settings)  # which may ask AWS
            return self._setup

    async def _acquire(self, holder: str) -> ServerGroup:
        group = new_server_group(await self.setup(), self._settings, holder, self._pages, self._budget)
        self._exits.enter_context(group.costs.observed_by(self._observer))
        return await self._exits.enter_async_context(group)
