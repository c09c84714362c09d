"""What a page looks like decides how it is read: blank, damaged, faint or long."""

from __future__ import annotations

from pathlib import Path

import pymupdf
import pytest

from tasks.core.corrections import Correction, Evidence
from tasks.core.errors import FailureReason
from tasks.core.flags import FlagName
from tasks.results.page import PageStatus
from tests.support import damaged, pdfs, scans
from tests.support.ollama.scripted import reads
from tests.unit.tasks.reading.page_reading import EMPTY, LOOP, opened

pytestmark = pytest.mark.usefixtures("three_tries")


async def test_a_blank_page_is_stored_without_asking_a_server(server, tmp_path):
    async with opened(server, pdfs.written(tmp_path / "blank.pdf", "")) as reading:
        await reading.reader.read(1, 1)
    assert reading.store.page(1).status is PageStatus.BLANK
    assert server.calls == []


async def test_a_page_that_cannot_be_rendered_fails_at_once(server, tmp_path):
    async with opened(server, pdfs.with_huge_picture(tmp_path / "huge.pdf", 30_000)) as reading:
        error = await reading.fails(1, 1)
    result = reading.store.page(1)
    assert error.final
    assert (result.status, result.reason, len(result.attempts)) == (PageStatus.FAILED, FailureReason.SIZE, 1)
    assert server.calls == []


async def test_the_stored_page_says_that_it_was_turned(server, tmp_path):
    server.answers("/api/generate", reads("Line one"))
    async with opened(server, scans.born_digital(tmp_path / "table.pdf", 90, 0)) as reading:
        await reading.reader.read(1, 1)
        server.answers("/api/generate", reads("Line one"))
        await reading.reader.read(2, 1)
    turned, upright = reading.store.page(1), reading.store.page(2)
    assert turned.correction == Correction(turned=270, evidence=Evidence.TEXT)
    assert (turned.width, turned.height, upright.correction) == (upright.width, upright.height, None)


async def test_a_damaged_page_that_shows_nothing_has_failed_without_a_request(server, tmp_path):
    async with opened(server, damaged.written(tmp_path / "damaged.pdf", damaged.cut)) as reading:
        error = await reading.fails(2, 1)
    result = reading.store.page(2)
    assert error.final
    assert (result.status, result.reason) == (PageStatus.FAILED, FailureReason.DAMAGED)
    assert "premature end of data in flate filter" in result.detail
    assert server.calls == []


async def test_what_is_left_of_a_damaged_page_is_read_and_flagged(server, tmp_path):
    server.answers("/api/generate", reads("Line one"))
    async with opened(server, damaged.pictured(tmp_path / "damaged.pdf", "jpeg", damaged.cut)) as reading:
        await reading.reader.read(2, 1)
    result = reading.store.page(2)
    assert (result.status, result.text) == (PageStatus.READ, "Line one")
    assert [flag.name for flag in result.flags] == [FlagName.DAMAGED]


async def test_a_damaged_page_on_which_nothing_is_found_has_failed_at_once(server, tmp_path):
    """An empty answer would be asked for again, hotter: in vain."""
    server.answers("/api/generate", EMPTY)
    async with opened(server, damaged.pictured(tmp_path / "damaged.pdf", "jpeg", damaged.cut)) as reading:
        error = await reading.fails(2, 1)
    assert (error.final, error.reason) == (True, FailureReason.DAMAGED)
    assert "premature end of file in jpeg" in reading.store.page(2).detail


@pytest.fixture
def dusty(monkeypatch: pytest.MonkeyPatch) -> None:
    """One pixel is much of these small images."""
    monkeypatch.setattr("tasks.documents.page_image.DUST", 0.0001)


@pytest.mark.usefixtures("dusty")
async def test_text_that_is_as_faint_as_dust_is_flagged(server, tmp_path):
    server.answers("/api/generate", reads("erom"))
    async with opened(server, pdfs.spotted(tmp_path / "speck.pdf", 0.2)) as reading:
        await reading.reader.read(1, 1)
    result = reading.store.page(1)
    assert (result.status, [flag.name for flag in result.flags]) == (PageStatus.READ, [FlagName.FAINT])


@pytest.mark.usefixtures("dusty")
async def test_dust_without_text_is_blank(server, tmp_path):
    server.answers("/api/generate", EMPTY)
    async with opened(server, pdfs.spotted(tmp_path / "speck.pdf", 0.2)) as reading:
        await reading.reader.read(1, 1)
    result = reading.store.page(1)
    assert (result.status, result.flags) == (PageStatus.BLANK, ())


def long_page(path: Path) -> Path:
    with pymupdf.open() as pdf:
        page = pdf.new_page(width=200, height=2000)
        for row in range(100):
            page.insert_text((20, 20 + 19 * row), f"line {row}")
        pdf.save(path)
    return path


async def test_a_long_page_is_asked_for_strip_by_strip(server, tmp_path):
    server.answers("/api/generate", *(reads(f"strip {number}") for number in range(1, 5)))
    async with opened(server, long_page(tmp_path / "receipt.pdf")) as reading:
        await reading.reader.read(1, 1)
    result = reading.store.page(1)
    assert len(server.asked("/api/generate")) == 4
    assert result.text == "strip 1\nstrip 2\nstrip 3\nstrip 4"
    assert (result.flags, result.tokens_in, result.tokens_out) == ((), 1200, 80)
    assert result.height > 4 * result.width


async def test_a_strip_that_was_read_well_is_not_asked_for_again(server, tmp_path):
    server.answers("/api/generate", reads("strip 1"), LOOP, reads("strip 2"), reads("strip 3"), reads("strip 4"))
    async with opened(server, long_page(tmp_path / "receipt.pdf")) as reading:
        await reading.fails(1, 1)
        await reading.reader.read(1, 2)
    assert len(server.asked("/api/generate")) == 5
    assert reading.store.page(1).text == "strip 1\nstrip 2\nstrip 3\nstrip 4"
