"""The checks of the fault tests: marks that survive rendering, and a judge that detects errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pymupdf
import pytest

from tests.faults import judge
from tests.faults.marks import Page, document, page_asked, page_on


def image_of(directory: Path, page: Page, width: int = 184) -> bytes:
    with pymupdf.open(document(directory, page.document, page.number)) as pdf:
        rendered = pdf[page.number - 1].get_pixmap(dpi=round(width / 200 * 72), colorspace=pymupdf.csGRAY)
        return rendered.tobytes("png")


@pytest.mark.parametrize("page", [Page(1, 1), Page(500, 6), Page(21845, 3), Page(65535, 2)])
@pytest.mark.parametrize("width", [100, 184, 920])
def test_a_page_is_recognized_by_its_image(tmp_path, page, width):
    assert page_on(image_of(tmp_path, page, width)) == page


def test_another_image_is_not_recognized_as_a_page(tmp_path):
    with pymupdf.open() as pdf:
        pdf.new_page().insert_text((40, 60), "Hello.", fontsize=40)
        assert page_on(pdf[0].get_pixmap().tobytes("png")) is None


@pytest.mark.parametrize("body", [b"", b"{}", b'{"images": []}', b'{"images": ["aGVsbG8="]}', b"[1]", b"\xff"])
def test_a_request_without_an_image_is_not_recognized_as_a_page(body):
    assert page_asked(body) is None


def test_no_two_pages_have_the_same_text():
    pages = [Page(one, number) for one in range(1, 200) for number in range(1, 7)]
    assert len({page.text for page in pages}) == len(pages)


class TestJudge:
    @pytest.fixture
    def right(self, tmp_path: Path) -> Path:
        """The results of a document of two pages, as they should be."""
        directory = tmp_path / "document-00007-0123456789ab"
        (directory / "pages").mkdir(parents=True)
        entries = []
        for number in (1, 2):
            attempts = [{"temperature": 0.0, "seconds": 1.0, "reason": None}]
            entry = {"page": number, "status": "read", "identity": f"{number}" * 64, "attempts": attempts}
            entries.append(entry)
            stored = entry | {"text": Page(7, number).text}
            (directory / "pages" / f"{number:04d}.json").write_text(json.dumps(stored))
        (directory / "manifest.json").write_text(json.dumps({"status": "complete", "pages": entries}))
        sections = [f"<!-- page {number} -->\n\n{Page(7, number).text}\n\n" for number in (1, 2)]
        (directory / "document.md").write_text("".join(sections))
        return directory

    def test_correct_results_have_no_errors(self, right: Path):
        assert judge.troubles(right.parent, 7, 2) == []

    DAMAGES: dict[str, Callable[[Path], object]] = {  # noqa: RUF012 - nothing changes it
        "a page is missing": lambda at: (at / "pages/0002.json").unlink(),
        "a page too many": lambda at: (at / "pages/0003.json").write_text((at / "pages/0002.json").read_text()),
        "another page's text": lambda at: changed(at / "pages/0002.json", text=Page(7, 1).text),
        "another document's text": lambda at: changed(at / "pages/0002.json", text=Page(8, 2).text),
        "another page's file": lambda at: changed(at / "pages/0002.json", page=1),
        "a stopped run": lambda at: changed(at / "manifest.json", status="stopped"),
        "a page missing in the manifest": lambda at: changed(at / "manifest.json", pages=[entry(at, 1)]),
        "a page twice in the manifest": lambda at: changed(
            at / "manifest.json", pages=[entry(at, 1), entry(at, 2), entry(at, 2)]
        ),
        "a failed page": lambda at: changed(
            at / "manifest.json", pages=[entry(at, 1), entry(at, 2) | {"status": "failed"}]
        ),
        "no attempts": lambda at: changed(at / "manifest.json", pages=[entry(at, 1), entry(at, 2) | {"attempts": []}]),
        "one identity": lambda at: changed(at / "pages/0002.json", identity="1" * 64),
        "no text": lambda at: (at / "document.md").unlink(),
        "a page twice in the text": lambda at: (at / "document.md").write_text((at / "document.md").read_text() * 2),
        "the wrong order": lambda at: (at / "document.md").write_text(
            "".join(f"<!-- page {number} -->\n\n{Page(7, number).text}\n\n" for number in (2, 1))
        ),
        "something half written": lambda at: (at / "pages/.0001.json.1.tmp").write_text(""),
        "two directories": lambda at: at.with_name("document-00007-ba9876543210").mkdir(),
        "no directory": lambda at: at.rename(at.with_name("elsewhere")),
    }

    @pytest.mark.parametrize("damage", DAMAGES)
    def test_wrong_results_are_detected(self, right: Path, damage: str):
        self.DAMAGES[damage](right)
        assert judge.troubles(right.parent, 7, 2)


def entry(directory: Path, number: int) -> dict:
    return judge.entries_in(directory)[number]


def changed(path: Path, **fields: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
