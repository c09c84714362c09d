"""Real documents: papers, scans and forms that are not part of the project; skipped where they are absent."""

from pathlib import Path

import pytest

from tasks.documents.render import Renderer
from tasks.reading.foreign import foreign_flag
from tasks.settings.reading import LimitSettings
from tests.benchmarks.accuracy import REAL_CHECKS, character_errors, words_missing
from tests.benchmarks.page_checks import load_checks

PDFS = Path(__file__).parents[4] / "shared" / "pdfs"

pytestmark = pytest.mark.skipif(
    not PDFS.is_dir(), reason=f"the real documents are not part of Hearth: they belong into {PDFS}"
)


async def _read(reading, name: str, page: int = 1) -> str:
    async with Renderer(PDFS / name, 1288, LimitSettings()) as renderer:
        return reading.read((await renderer.page(page)).png)


def _layer(name: str, page: int) -> str:
    import pymupdf

    with pymupdf.open(PDFS / name) as pdf:
        return pdf[page - 1].get_text()


@pytest.mark.long("reads three pages with the real engine: 6 s")
@pytest.mark.parametrize(("other", "missing"), [("edgar-rotated90.pdf", 0.03), ("edgar_image.pdf", 0.15)])
async def test_a_page_its_scan_and_its_rotation_give_nearly_the_same_words(reading, other, missing):
    assert words_missing(await _read(reading, other), await _read(reading, "edgar.pdf")) < missing


@pytest.mark.long("reads with the real engine: 3 s")
async def test_two_columns_come_one_after_the_other(reading):
    name = "pdftotext_two_column_issue.pdf"
    assert character_errors(await _read(reading, name, 2), _layer(name, 2)) < 0.06


async def test_a_page_of_text_is_read_as_its_text_layer_has_it(reading):
    assert character_errors(await _read(reading, "earnings.pdf"), _layer("earnings.pdf", 1)) < 0.01


@pytest.mark.parametrize("name", ["earnings.pdf", "untable.pdf"])
async def test_numbers_stay_in_their_columns(reading, name):
    text = await _read(reading, name)
    assert [check.id for check in load_checks(REAL_CHECKS) if check.pdf == name and not check.passes(text)] == []


@pytest.mark.parametrize("name", ["earnings.pdf", "edgar_image.pdf", "small_page_size.pdf", "untable.pdf"])
async def test_a_page_in_english_is_not_flagged_as_another_language(reading, name):
    assert foreign_flag(await _read(reading, name), ("eng",)) is None


async def test_a_page_without_ink_gives_no_text(reading):
    assert await _read(reading, "blanktext.pdf") == ""
