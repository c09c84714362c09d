"""Servers that outlive a document: those of a batch are read on the same ones, and no slot idles between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from flows.engine.server_group import ServerGroup
from tasks.core.budget import Budget
from tasks.runs.cost_tracker import UsageObserver

Make = Callable[[Budget, Iterable[int]], ServerGroup]
"""Makes servers within a budget, for documents of so many pages each."""


class SharedServerGroup:
    """The servers of several documents, acquired when the first of them needs one. Use as an async context manager.

    Args:
        books: keep account of them.
        budget: what they may cost.
        pages: of each document; see `Wanted`.
    """

    def __init__(self, books: UsageObserver, budget: Budget, pages: Iterable[int]) -> None:
        self._books = books
        self._budget = budget
        self._pages = pages
        self._making = asyncio.Lock()
        self._leaving = AsyncExitStack()
        self._serving: ServerGroup | None = None
        self._context = copy_context()

    async def __aenter__(self) -> Self:
        """Nothing is acquired yet."""
        self._context = copy_context()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release the servers."""
        await self._leaving.aclose()

    @property
    def stopped(self) -> str:
        """Why no page is begun any more; empty while they are."""
        return self._serving.stopped if self._serving is not None else ""

    @property
    def usd(self) -> float:
        """What the machines have cost so far."""
        return self._serving.books.usd if self._serving is not None else 0.0

    @contextmanager
    def used_here(self, all_begun: Callable[[], None]) -> Iterator[None]:
        """Have the document that is read in this context use these servers.

        Args:
            all_begun: is called when all its pages have begun, or will not begin.
        """
        token = _here.set(_Guest(self, all_begun))
        try:
            yield
        finally:
            _here.reset(token)

    async def serving(self, make: Make) -> ServerGroup:
        """The servers, made by whoever needs them first."""
        async with self._making:
            if self._serving is None:
                # In the batch's own context: what servers do is told there, and not of the document that came first.
                self._serving = await asyncio.create_task(self._made(make), context=self._context)
            return self._serving

    async def _made(self, make: Make) -> ServerGroup:
        serving = make(self._budget, self._pages)
        self._leaving.enter_context(serving.books.kept_by(self._books))
        return await self._leaving.enter_async_context(serving)


@dataclass(frozen=True)
class _Guest:
    host: SharedServerGroup
    all_begun: Callable[[], None]


_here: ContextVar[_Guest | None] = ContextVar("hearth_shared_serving", default=None)


@asynccontextmanager
async def servers_for(
    books: UsageObserver, make: Make, budget: Budget, pages: int
) -> AsyncIterator[tuple[ServerGroup, Callable[[], None]]]:
    """The servers for a document, shared or its own, and whom to tell that all its pages have begun.

    Args:
        books: the document's own account.
        make: makes servers.
        budget: what servers of its own may cost; those that are shared keep to their own.
        pages: that are to be read of it.
    """
    guest = _here.get()
    if guest is not None:
        serving = await guest.host.serving(make)
        with serving.books.kept_by(books):
            yield serving, guest.all_begun
        return
    serving = make(budget, (pages,))
    with serving.books.kept_by(books):
        async with serving:
            yield serving, lambda: None
