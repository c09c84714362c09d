"""Text layers of real documents, which are not part of the project; skipped where they are absent."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.layers.judge import Verdict
from tasks.reading.layer_reader import LayerSource
from tasks.settings.reading import LimitSettings
from tests.benchmarks.page_checks import OrderCheck, TableCheck

PDFS = Path(__file__).parents[5] / "shared" / "pdfs"

pytestmark = pytest.mark.skipif(
    not PDFS.is_dir(), reason=f"the real documents are not part of Hearth: they belong into {PDFS}"
)


@pytest.fixture
def layer(one_sandbox):
    """Return the text and the verdict of a page of a document."""

    async def judged(name: str, number: int = 1) -> tuple[str, Verdict]:
        found = []

        async def use(_: int, text: str, verdict: Verdict) -> None:
            found.append((text, verdict))

        await LayerSource(PDFS / name, LimitSettings()).judged([number], use)
        return found[0]

    return judged


@pytest.mark.parametrize(
    ("name", "number"), [("earnings.pdf", 1), ("untable.pdf", 1), ("pdftotext_two_column_issue.pdf", 2)]
)
async def test_pages_that_a_program_wrote_are_sound(layer, name, number):
    verdict = (await layer(name, number))[1]
    assert verdict.sound, verdict.why


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("dolma-page-1.pdf", "like no known language"),
        ("edgar.pdf", "may hold text"),
        ("edgar_image.pdf", "no text layer"),
        ("skinnypage.pdf", "stand on a picture"),
        ("small_page_size.pdf", "invisible"),
        ("some_ocr1.pdf", "too few words"),
    ],
)
async def test_pages_whose_layer_is_not_what_they_show_are_not_sound(layer, name, why):
    verdict = (await layer(name))[1]
    assert (verdict.sound, why in verdict.why) == (False, True), verdict


@pytest.mark.parametrize(
    ("name", "cell", "beside"),
    [
        ("earnings.pdf", "$ 141", {"left": "$ 178", "right": "$ 138"}),
        ("earnings.pdf", "2,532", {"up": "$ 141", "down": "876"}),
        ("earnings.pdf", "1,892", {"left_heading": "Research and development", "top_heading": "Jan 29, 2023"}),
        ("untable.pdf", "8 487", {"left": "8 264", "top_heading": "2007"}),
        ("untable.pdf", "198", {"left_heading": "Mayotte", "top_heading": "2009", "max_diffs": 6}),
    ],
)
async def test_tables_without_rules_are_tables(layer, name, cell, beside):
    check = TableCheck(pdf=name, page=1, id="cell", type="table", cell=cell, **beside)
    assert check.passes((await layer(name))[0])


async def test_columns_follow_each_other(layer):
    name = "pdftotext_two_column_issue.pdf"
    left, right = "While short stature, hypogonadism and typical", "Current expert consensus recommends performing"
    check = OrderCheck(pdf=name, page=2, id="columns", type="order", before=left, after=right, max_diffs=2)
    assert check.passes((await layer(name, 2))[0])
