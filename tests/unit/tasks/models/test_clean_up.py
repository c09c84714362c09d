"""From answers as models are trained to write them to Markdown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.models.clean_up import clean_up
from tasks.models.profile import CleanUp

OLMOCR = """---
primary_language: en
is_rotation_valid: False
rotation_correction: 90
is_table: False
is_diagram: False
---

# Report

The text."""

DEEPSEEK = """<|ref|>title<|/ref|><|det|>[[42, 48, 857, 133]]<|/det|>
# Report

<|ref|>text<|/ref|><|det|>[[42, 150, 857, 233]]<|/det|>
The text.

<|ref|>image<|/ref|><|det|>[[1, 2, 3, 4], [5, 6, 7, 8]]<|/det|>
"""


def test_front_matter_is_taken_off_and_its_facts_are_kept():
    found = clean_up(OLMOCR, [CleanUp.FRONT_MATTER])
    assert found.text == "# Report\n\nThe text."
    assert found.claims == {
        "primary_language": "en",
        "is_rotation_valid": False,
        "rotation_correction": 90,
        "is_table": False,
        "is_diagram": False,
    }
    assert found.removed == ()


def test_unusual_front_matter_is_named():
    found = clean_up("---\nprimary_language: en\ntitle: A\n---\nText", [CleanUp.FRONT_MATTER])
    assert (found.text, found.removed) == ("Text", ("front matter with title",))


@pytest.mark.parametrize(
    "text",
    [
        "---\nA line between two rules\n---\nText",
        "---\ntitle: A page about YAML\n---\nText",
        "---\nprimary_language: [\n---\nText",
        "---\nprimary_language: 2026-99-99\n---\nText",
        "Text\n---\nprimary_language: en\n---\n",
        "---\nprimary_language: en\n",
        f"---\nprimary_language: en\n{'x' * 3000}: 1\n---\nText",
        f"---\n{'[' * 1500}\n---\n",
        "",
    ],
)
def test_what_only_looks_like_front_matter_stays(text):
    assert clean_up(text, [CleanUp.FRONT_MATTER]).text == text


def test_tags_and_boxes_of_deepseek_ocr_are_taken_out():
    assert clean_up(DEEPSEEK, [CleanUp.GROUNDING]).text.strip() == "# Report\n\nThe text."


def test_text_between_deepseek_ocrs_tags_stays():
    answer = "<|ref|>Deploy models<|/ref|><|det|>[[37, 48, 279, 140]]<|/det|>\n<|ref|>today<|/ref|>"
    assert clean_up(answer, [CleanUp.GROUNDING]).text == "Deploy models\ntoday"


def test_places_of_pictures_are_taken_out():
    answer = "Before ![image](image_1.png)12,34,567,890\nafter 1,2,3,4"
    assert clean_up(answer, [CleanUp.BOXES]).text == "Before ![image](image_1.png)\nafter 1,2,3,4"


@pytest.mark.parametrize(
    ("answer", "written"),
    [
        (r"so \(a + b\) is", "so $a + b$ is"),
        ("\\[\nE = mc^2\n\\]", "$$\nE = mc^2\n$$"),
        (r"a \\( is no formula", r"a \\( is no formula"),
        ("$x$ and $$y$$", "$x$ and $$y$$"),
    ],
)
def test_formulas_have_the_delimiters_that_markdown_knows(answer, written):
    assert clean_up(answer, [CleanUp.MATH]).text == written


DOCTAGS = (
    "<doctag><title><loc_10><loc_20><loc_30><loc_40>Report</title>\n"
    "<section_header_level_1>First part</section_header_level_1>"
    "<text><loc_1><loc_2><loc_3><loc_4>A &lt; B</text>"
    "<unordered_list><list_item>one</list_item><list_item>two</list_item></unordered_list>"
    "<ordered_list><list_item>first</list_item><list_item>second</list_item></ordered_list>"
    "<otsl><caption>Sales</caption><ched>Year<ched>Sum<nl><fcel>2025<fcel>1|2<nl><ucel><ecel><nl></otsl>"
    "<formula>a^2</formula><code><_Python_>print(1)</code>"
    "<picture><loc_1><caption>Figure 1</caption></picture></doctag>"
)


def test_doctags_become_markdown():
    assert clean_up(DOCTAGS, [CleanUp.DOCTAGS]).text == (
        "# Report\n\n## First part\n\nA < B\n\n- one\n- two\n\n1. first\n2. second\n\n"
        "Sales\n\n| Year | Sum |\n| --- | --- |\n| 2025 | 1\\|2 |\n| 2025 |  |\n\n"
        "$$a^2$$\n\n```python\nprint(1)\n```\n\nFigure 1"
    )


def test_a_text_without_doctags_stays():
    assert clean_up("a <b> and <text> c", [CleanUp.DOCTAGS]).text == "a <b> and <text> c"


@given(st.text(alphabet="<>|/=-_[](){}$\\ \nabtdrhrefloc0123:,!.", max_size=200), st.sampled_from(list(CleanUp)))
def test_no_answer_breaks_a_step(answer, step):
    assert isinstance(clean_up(answer, [step]).text, str)


@given(st.text(alphabet=st.characters(categories=["L", "N", "Zs"]), max_size=100), st.sampled_from(list(CleanUp)))
def test_plain_words_pass_every_step_unchanged(answer, step):
    assert clean_up(answer, [step]).text == answer
