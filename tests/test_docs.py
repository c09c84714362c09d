"""The documentation says what the code does."""

import re
from pathlib import Path

import pytest

from tests.generated_docs import REFERENCE, with_blocks

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_reference_is_what_the_code_says_now():
    text = REFERENCE.read_text()
    assert text == with_blocks(text), "run: make docs"


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
