"""A page reader on a scripted server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import stamina

from tests.support import pdfs
from tests.support.ollama.scripted import ScriptedOllama
from tests.unit.tasks.reading.page_reading import Reading, opened


@pytest.fixture(autouse=True)
def documents(one_sandbox: None) -> None:
    """They share a process."""


@pytest.fixture
def three_tries() -> Iterator[None]:
    with stamina.set_testing(True, attempts=3):
        yield


@pytest.fixture
async def reading(server: ScriptedOllama, tmp_path: Path) -> AsyncIterator[Reading]:
    """Of two pages of text, at most three times each."""
    async with opened(server, pdfs.written(tmp_path / "paper.pdf", "one", "two")) as reading:
        yield reading
