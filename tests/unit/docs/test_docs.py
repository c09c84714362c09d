"""The documentation says what the code does."""

import re
from pathlib import Path

import pytest

from tests.support import generated_docs

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", generated_docs.PAGES, ids=lambda page: page.name)
def test_what_is_made_from_the_code_is_what_it_says_now(page: Path):
    assert page.read_text() == generated_docs.with_blocks(page), "run: make docs"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_a_file_leads_somewhere(page: Path):
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_every_make_target_that_the_readme_names_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"^make ([a-z-]+)", (ROOT / "README.md").read_text(), flags=re.MULTILINE))
    assert {"read", "test"} <= named <= targets


def test_every_source_file_stays_readable_in_one_sitting():
    for folder in ("flows", "tasks", "infra_scripts"):
        for path in (ROOT / folder).rglob("*.py"):
            assert path.read_text().count("\n") <= 300, path


def test_what_was_never_run_is_told_on_one_page_to_which_the_others_lead():
    claim = re.compile(
        r"untested|never (been )?run\b|not (been )?tried|be tried here|no AWS account|has not been built", re.I
    )
    for page in PAGES:
        if page.name in {"tried.md", "CHANGELOG.md"}:
            continue
        for paragraph in page.read_text().split("\n\n"):
            assert not claim.search(paragraph) or "tried.md" in paragraph, (page.name, paragraph)
