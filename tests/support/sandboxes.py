"""A pytest plugin: one sandboxed process for the documents of a file's tests.

Each start of one costs 0.3 s of the processor, more than all that most tests do with it. Tests of the process itself,
and of documents that harm it, have processes of their own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tasks.documents.shared_processes import shared_processes


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def one_sandbox() -> AsyncIterator[None]:
    """Documents that a file's tests open one after the other share a process."""
    async with shared_processes():
        yield
