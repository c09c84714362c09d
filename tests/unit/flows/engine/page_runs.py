"""Pages that are read, and what Prefect is shown of them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from flows.engine.pages import read_block, read_pages
from flows.ui.artifacts import MOST_SINGLE
from tasks.core.aio import WorkLoop
from tasks.core.errors import PageError
from tasks.core.events import emit
from tasks.reading.events import PageDone
from tasks.results.page import PageResult, PageStatus
from tasks.serving.admission_limiter import AdmissionLimiter
from tests.support.waiting import PATIENCE

MANY = MOST_SINGLE + 1
Page = Callable[[int, int], Awaitable[None]]


def good(number: int, **facts: Any) -> PageResult:
    now = datetime(2026, 11, 1, tzinfo=UTC)
    told = {"identity": "i", "status": PageStatus.READ, "model": "m", "digest": "d", "finished_at": now}
    return PageResult(page=number, **told | {"text": "Xylophone"} | facts)


class Reader:
    """What `PageReader` is to the flow; each page does what the test says, and is read well if it says nothing."""

    attempts = 3
    document = "Report"

    def __init__(self, page: Page | None = None) -> None:
        self.page = page
        self.begun: list[int] = []
        self.tried: dict[int, list[int]] = defaultdict(list)
        self.done: list[int] = []
        self.cancelled: list[int] = []
        self.open = self.most_open = 0

    async def read(self, number: int, attempt: int) -> None:
        if attempt == 1:
            self.begun.append(number)
        self.tried[number].append(attempt)
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            if self.page is not None:
                await self.page(number, attempt)
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.cancelled.append(number)
            raise
        except PageError as error:
            error.final = error.final or attempt == self.attempts
            raise
        finally:
            self.open -= 1
        self.done.append(number)
        emit(PageDone(good(number)))


class Shown:
    """The tables that were shown, and how their blocks ended."""

    def __init__(self) -> None:
        self.tables: dict[str, list[dict[str, Any]]] = {}
        self.keys: set[str | None] = set()
        self.states: list[Any] = []
        self.begun: list[str] = []

    async def table(self, rows: list[dict[str, Any]], key: str | None, told: str) -> None:
        self.tables[told] = rows
        self.keys.add(key)

    async def block(self, *arguments: Any) -> None:
        self.begun.append(str(arguments[1]))
        self.states.append(await read_block.fn(*arguments))


async def read(work: WorkLoop, reader: Any, window: int = 12, count: int = MANY) -> None:
    async with asyncio.timeout(PATIENCE), AdmissionLimiter(window).admission(count) as admission:
        await read_pages(work, reader, range(1, count + 1), admission)
