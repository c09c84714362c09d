"""From answers as models are trained to write them to Markdown."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.calls import CleanUp
from tasks.models.clean_up import clean_up

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
        "Text\n---\nprimary_language: en\n---\n",
        "---\nprimary_language: en\n",
        "---\nprimary_language: en\na line of text\n---\nText",
        "---\n" + "primary_language: en\n" * 30 + "---\nText",
        f"---\n{'[' * 1500}\n---\n",
        "",
    ],
)
def test_what_only_looks_like_front_matter_stays(text):
    assert clean_up(text, [CleanUp.FRONT_MATTER]).text == text


def test_claims_are_plain_values():
    """YAML would read Norwegian as False, and may hold a text that grows as it is read."""
    answer = (
        "\ufeff---\nprimary_language: no\nis_rotation_valid: true\nrotation_correction: &a [*a]\nis_table: null\n---\n"
    )
    assert clean_up(answer, [CleanUp.FRONT_MATTER]).claims == {
        "primary_language": "no",
        "is_rotation_valid": True,
        "rotation_correction": "&a [*a]",
        "is_table": None,
    }


def test_tags_and_boxes_of_deepseek_ocr_are_taken_out():
    assert clean_up(DEEPSEEK, [CleanUp.GROUNDING]).text.strip() == "# Report\n\nThe text."


def test_text_between_deepseek_ocrs_tags_stays():
    answer = "<|ref|>Deploy models<|/ref|><|det|>[[37, 48, 279, 140]]<|/det|>\n<|ref|>today<|/ref|>"
    assert clean_up(answer, [CleanUp.GROUNDING]).text == "Deploy models\ntoday"


def test_labels_whose_tags_the_server_took_out_are_taken_out():
    answer = "sub_title[[42, 48, 857, 133]]\n## Part\n\ntext [[42,150,857,233]]\nThe text[[1]] of it.\n"
    assert clean_up(answer, [CleanUp.GROUNDING]).text == "## Part\n\nThe text[[1]] of it.\n"


@pytest.mark.parametrize(
    "answer", ["a text[[1, 2, 3, 4]] in prose", "see <|ref| here", "| text | [[1, 2]] |", "the <|det|> of a lattice"]
)
def test_what_only_looks_like_a_box_stays(answer):
    assert clean_up(answer, [CleanUp.GROUNDING]).text == answer


def test_places_of_pictures_are_taken_out():
    answer = "Before ![image](image_1.png)12,34,567,890\nafter 1,2,3,4"
    assert clean_up(answer, [CleanUp.BOXES]).text == "Before ![image](image_1.png)\nafter 1,2,3,4"


@pytest.mark.parametrize(
    "answer",
    ["![a](b.png) 12,34,567,890", "![a](b.png)1999,2000,2001,2002", "![a](b.png)9,8,7,6", "![a](b.png)1,2,3,4,5"],
)
def test_numbers_that_are_no_place_stay(answer):
    assert clean_up(answer, [CleanUp.BOXES]).text == answer


@pytest.mark.parametrize(
    ("answer", "written"),
    [
        (r"so \(a + b\) is", "so $a + b$ is"),
        ("\\[\nE = mc^2\n\\]", "$$\nE = mc^2\n$$"),
        (r"a \\( is no formula", r"a \\( is no formula"),
        ("$x$ and $$y$$", "$x$ and $$y$$"),
        (r"it costs $5, and \(x\) is", r"it costs $5, and \(x\) is"),
        (r"\(5\)7 is no price", r"\(5\)7 is no price"),
        (r"\( begins" + "\n\n" + r"and \) ends", r"\( begins" + "\n\n" + r"and \) ends"),
        ("\\[\r\nE\r\n\\]", "$$\nE\n$$"),
        (r"\[ a \\[2pt] b \]", r"$$ a \\[2pt] b $$"),
        (r"`\(x\)` and \(y\)", r"`\(x\)` and $y$"),
        ("```\nsed 's/\\(a\\)/b/'\n```", "```\nsed 's/\\(a\\)/b/'\n```"),
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


@pytest.mark.parametrize(
    ("answer", "written"),
    [
        ("<text>one</text><text>two", "one\n\ntwo"),
        ("<text>one<text>two", "one\n\ntwo"),
        ("loose <text>in</text> after", "loose\n\nin\n\nafter"),
        ("<text>a < b, <b>c</b> and <div></text>", "a < b, <b>c</b> and <div>"),
        ("<code>if a<b: <text>\n    c</code>", "```\nif a<b: <text>\n    c\n```"),
        (
            "<unordered_list><list_item>a<ordered_list><list_item>b</list_item></ordered_list></list_item></unordered_list>",
            "- a\n  1. b",
        ),
        ("<chart><otsl><ched>a<nl><fcel>1<nl></otsl></chart>", "| a |\n| --- |\n| 1 |"),
        ("<picture><pie_chart><caption>Sales</caption></picture>", "Sales"),
        ("<checkbox_selected>yes</checkbox_selected>", "- [x] yes"),
        ("<text>\u05e9\u05dc\u05d5\u05dd &lt; x</text>", "\u05e9\u05dc\u05d5\u05dd < x"),
    ],
)
def test_doctags_lose_no_text(answer, written):
    assert clean_up(f"<doctag>{answer}</doctag>", [CleanUp.DOCTAGS]).text == written


@pytest.mark.parametrize("text", ["Write <title>My page</title> at the top.", "<table><caption>a</caption></table>"])
def test_html_is_no_doctags(text):
    assert clean_up(text, [CleanUp.DOCTAGS]).text == text


def test_a_text_without_doctags_stays():
    assert clean_up("a <b> and <text> c", [CleanUp.DOCTAGS]).text == "a <b> and <text> c"


@given(st.text(alphabet="<>|/=-_[](){}$\\ \nabtdrhrefloc0123:,!.", max_size=200), st.sampled_from(list(CleanUp)))
def test_no_answer_breaks_a_step(answer, step):
    assert isinstance(clean_up(answer, [step]).text, str)


@given(st.text(alphabet=st.characters(categories=["L", "N", "Zs"]), max_size=100), st.sampled_from(list(CleanUp)))
def test_plain_words_pass_every_step_unchanged(answer, step):
    assert clean_up(answer, [step]).text == answer


MARKUP = (
    r"<table> </table> <tr> <td> </td> <b> </b> <p> < > | \( \) \[ \] <doctag> <text> </text> <list_item> "
    "<ordered_list> </ordered_list> <code> <|ref|> <|/ref|> <|det|>[[1,2,3,4]]<|/det|> ![a](b) 1,2,3,4 &lt;"
)


@given(
    st.lists(st.sampled_from([*MARKUP.split(), "\n", "```\n", "---\n", "|-|\n"]), max_size=40),
    st.sampled_from(list(CleanUp)),
)
def test_no_step_loses_a_word(pieces, step):
    """Whatever is broken about an answer's markup, each word between is there afterwards, in order."""
    answer = "".join(f"{piece}w{place}w" for place, piece in enumerate(pieces))
    found = clean_up(answer, [step]).text
    assert re.findall(r"w\d+w", found) == [f"w{place}w" for place in range(len(pieces))]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("step", CleanUp)
@pytest.mark.parametrize(
    "unit",
    [
        "<table>",
        "<|ref|>",
        "<|det|>[[1,",
        "\\[",
        "\\(",
        "![a](",
        "<text>",
        "<ordered_list>",
        "|a|\n|-|\n",
        "---\na: b\n",
    ],
)
def test_a_huge_answer_is_cleaned_at_once(step, unit):
    """In 0.1 s or so; a step whose time grew with the square of the length would take minutes."""
    assert clean_up(unit * (150_000 // len(unit)), [step]).text is not None
