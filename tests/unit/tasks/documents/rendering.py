"""Helpers that render pages and inspect the processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tasks.core.errors import FailureReason, PageError
from tasks.documents.page_image import PageImage
from tasks.documents.render import Renderer
from tasks.settings.reading import LimitSettings
from tests.support.waiting import until_async


async def rendered(path: Path, number: int = 1, longest_side: int = 400) -> PageImage:
    async with Renderer(path, longest_side, LimitSettings()) as renderer:
        return await renderer.page(number)


def workers() -> list[psutil.Process]:
    """Return the processes that live and are not just ending."""
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.Error):
            found += [child] if "tasks.documents.sandbox.worker" in child.cmdline() else []
    return found


@asynccontextmanager
async def renders(path: Path, **limits: Any) -> AsyncIterator[Renderer]:
    """A renderer whose process has rendered a page before, so that a limit on time does not count its start."""
    async with Renderer(path, 200, LimitSettings(**limits)) as renderer:
        await until_async(lambda: has_ink(renderer, 2))
        yield renderer


async def given_up(*pages: asyncio.Task[PageImage]) -> None:
    for page in pages:
        page.cancel()
    await asyncio.wait(pages)


async def fails(renderer: Renderer, number: int, reason: FailureReason = FailureReason.RENDER) -> PageError:
    with pytest.raises(PageError) as caught:
        await renderer.page(number)
    assert caught.value.reason is reason
    assert caught.value.final
    return caught.value


async def has_ink(renderer: Renderer, number: int) -> bool:
    """Check that a page is rendered in time."""
    try:
        return (await renderer.page(number)).has_ink
    except PageError:  # a busy machine took too long for it
        return False
