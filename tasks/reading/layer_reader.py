"""Pages that are taken from their text layer, before any server is acquired; and how many could have been."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path

from tasks.core.jobs import Plan, TextLayer
from tasks.documents.render import Renderer
from tasks.layers.judge import Verdict, judge
from tasks.layers.pages import layer_page
from tasks.results.page import PageResult
from tasks.results.store import ResultStore
from tasks.settings.reading import LimitSettings

MOST_COUNTED = 20
"""Pages of a document whose layers are judged to say how many are sound; of more, a sample."""

_MOST_PROCESSES = 4
# A process starts in the time in which another one extracts so many pages.
_PAGES_A_PROCESS = 24
_ANY_SIDE = 64


@dataclass(frozen=True)
class LayerSource:
    """A document whose text layers are read.

    Attributes:
        path: the file on this machine.
        password: the document's, if it has one.
    """

    path: Path
    limits: LimitSettings
    password: str | None = None

    async def judged(self, numbers: Sequence[int], use: Callable[[int, str, Verdict], Awaitable[None]]) -> None:
        """Judge the text layers of pages, in a few sandboxed processes at once, and pass each on with its text."""
        left = iter(numbers)

        async def work(renderer: Renderer) -> None:
            for number in left:
                await use(number, *await read_layer(renderer, number))

        count = max(1, min(_MOST_PROCESSES, os.cpu_count() or 1, len(numbers) // _PAGES_A_PROCESS))
        async with AsyncExitStack() as stack:
            renderers = [
                await stack.enter_async_context(Renderer(self.path, _ANY_SIDE, self.limits, self.password))
                for _ in range(count if numbers else 0)
            ]
            async with asyncio.TaskGroup() as group:
                # Two for each: while one judges and stores a page, the process extracts the next one.
                for renderer in (*renderers, *renderers):
                    group.create_task(work(renderer))


async def read_layer(renderer: Renderer, number: int) -> tuple[str, Verdict]:
    """Return the text layer of a page, and what it is worth."""
    layer = await renderer.layer(number)
    if isinstance(layer, str):
        return "", Verdict(sound=False, score=0.0, why=layer)
    facts, text = layer
    return text, judge(text, facts)


async def take_layers(source: LayerSource, plan: Plan, store: ResultStore, digest: str | None) -> set[int]:
    """Store the pages that the plan takes from their text layer; what a model has read for this request stays.

    No event is emitted for each: there are hundreds within seconds, and none of them is awaited.

    Args:
        source: the document.
        plan: says which layers are taken.
        store: of the document's results.
        digest: the model's, if it is known.

    Returns:
        The pages that were stored.

    Raises:
        UnavailableError: the sandboxed process does not start.
        StorageError: a page cannot be stored.
    """
    taken = set[int]()
    if plan.text_layer is TextLayer.NEVER:
        return taken
    stored = zip(plan.numbers, store.each(plan.numbers), strict=True)
    numbers = [number for number, page in stored if not _stands(page, plan, number, digest)]

    async def take(number: int, text: str, verdict: Verdict) -> None:
        if _is_taken(plan.text_layer, text, verdict):
            await asyncio.to_thread(store.write_page, layer_page(plan, number, text, verdict))
            taken.add(number)

    await source.judged(numbers, take)
    return taken


async def count_taken(
    source: LayerSource, numbers: Sequence[int], most: int = MOST_COUNTED, layer: TextLayer = TextLayer.AUTO
) -> int:
    """Return how many of the pages would be taken from their text layer; an estimate if there are more than `most`."""
    step = max(1, -(-len(numbers) // most))
    sample, taken = numbers[::step], 0

    async def count(_number: int, text: str, verdict: Verdict) -> None:
        nonlocal taken
        taken += _is_taken(layer, text, verdict)

    await source.judged(sample, count)
    return round(taken * len(numbers) / len(sample)) if sample else 0


def pages_left(path: Path, numbers: Sequence[int], limits: LimitSettings, layer: TextLayer) -> int:
    """Return how many pages are left to a model, by a sample of their text layers. The thread is blocked.

    Raises:
        UnavailableError: the sandboxed process does not start.
    """
    if layer is TextLayer.NEVER:
        return len(numbers)
    with ThreadPoolExecutor(1) as thread:  # this thread may be running a loop
        counting = count_taken(LayerSource(path, limits), numbers, layer=layer)
        return len(numbers) - thread.submit(copy_context().run, asyncio.run, counting).result()


def _is_taken(layer: TextLayer, text: str, verdict: Verdict) -> bool:
    return verdict.sound or (layer is TextLayer.ALWAYS and bool(text.strip()))


def _stands(page: PageResult | None, plan: Plan, number: int, digest: str | None) -> bool:
    if page is None or not page.settled or not page.stored_since(plan.since):
        return False
    # The digest may be known only when the model is warm: then it is taken to be that of the stored page.
    return plan.is_met(number, page.identity, digest or page.digest, page.correction)
