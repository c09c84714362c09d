"""The renderer's process: its modules, its memory and its file."""

from __future__ import annotations

from pathlib import Path

import psutil
import pymupdf
import pytest

from tasks.documents.render import Renderer
from tasks.settings.reading import LimitSettings
from tests.support import pdfs
from tests.unit.tasks.documents.rendering import rendered, renders, workers

pytestmark = pytest.mark.long("renders until memory is measured: 10 s in all")


def own_memory(process: psutil.Process) -> int:
    """Without the document's own bytes, which are mapped and the system's to keep or not."""
    memory = process.memory_info()
    return int(memory.rss - memory.shared)


async def test_the_process_ends_with_its_context(tmp_path):
    async with renders(pdfs.written(tmp_path / "paper.pdf", "one", "two")):
        worker = workers()[0]
    assert not worker.is_running()


async def test_files_beside_the_caller_are_not_taken_for_modules(tmp_path):
    (tmp_path / "json.py").write_text("raise SystemExit('taken for a module')")
    assert (await rendered(pdfs.written(tmp_path / "paper.pdf", "one"))).has_ink


@pytest.mark.long("renders many pages: 8 s")
async def test_memory_does_not_grow_with_the_pages(tmp_path):
    """A picture on each page, so that a cache would show: 300 of them unpacked are more than 300 MB."""
    path = pdfs.illustrated(tmp_path / "book.pdf", 300)
    async with Renderer(path, 200, LimitSettings()) as renderer:
        for number in range(1, 41):
            await renderer.page(number)
        measured = (psutil.Process(), workers()[0])
        before = [process.memory_info().rss for process in measured]
        for number in range(41, 301):
            await renderer.page(number)
        grown = [own_memory(process) - first for process, first in zip(measured, before, strict=True)]
    assert max(grown) < 40_000_000


def with_many_objects(path: Path, pages: int) -> Path:
    """Small pages, each with a long dictionary of its own that MuPDF keeps once it has seen it."""
    names = " ".join(f"/Colours{number} /DeviceGray" for number in range(400))
    with pymupdf.open() as pdf:
        for _ in range(pages):
            page = pdf.new_page(width=20, height=20)
            resources = pdf.get_new_xref()
            pdf.update_object(resources, f"<</ColorSpace<<{names}>>>>")
            pdf.xref_set_key(page.xref, "Resources", f"{resources} 0 R")
        pdf.save(path, garbage=0)
    return path


@pytest.mark.long("makes and renders large files: 18 s")
async def test_memory_does_not_grow_with_the_objects_of_the_file(tmp_path):
    """1,500 of these dictionaries take 30 MB."""
    async with Renderer(with_many_objects(tmp_path / "book.pdf", 2000), 20, LimitSettings()) as renderer:
        measured = []
        for number in range(1, 2001):
            await renderer.page(number)
            if number in {499, 1999}:
                measured.append(own_memory(workers()[0]))
    early, late = measured
    assert late - early < 15_000_000


async def test_a_replaced_file_is_read_on_from_the_old_one(tmp_path):
    path = pdfs.framed(tmp_path / "book.pdf", *[(100, 100)] * 3)
    async with Renderer(path, 20, LimitSettings()) as renderer:
        await renderer.page(1)
        pdfs.framed(tmp_path / "other.pdf", *[(100, 200)] * 3).replace(path)
        for number in range(1100):
            image = await renderer.page(number % 3 + 1)
            assert image.width == image.height
