"""Checks of single facts of a page's text."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from tasks.core.errors import InputError
from tests.benchmarks.page_checks import load_checks, places

PAGE = """# The **warm** oven

A baker lights the oven \u201conce\u201d a day \u2013 and then rests.<sup>1</sup>

| Day | Loaves | Wood |
|---|---|---|
| Monday | 120 | 41 |
| Tuesday | 85 | 27 |

<table><tr><th rowspan="2">Year</th><th colspan="2">Sales</th></tr><tr><th>north</th><th>south</th></tr>
<tr><td>2025</td><td>7</td><td>8</td></tr></table>

The energy is $E = mc^{2}$, and \\[ \\frac{a}{b} \\] too.
"""


@pytest.mark.parametrize(
    ("check", "passes"),
    [
        ({"type": "present", "text": "The warm oven"}, True),
        ({"type": "present", "text": 'lights the oven "once" a day - and'}, True),
        ({"type": "present", "text": "lights the cold oven"}, False),
        ({"type": "present", "text": "A bakar lights", "max_diffs": 1}, True),
        ({"type": "present", "text": "A bakar lights"}, False),
        ({"type": "present", "text": "the WARM oven", "case_sensitive": False}, True),
        ({"type": "present", "text": "rests", "first_n": 20}, False),
        ({"type": "present", "text": "too.", "last_n": 20}, True),
        ({"type": "absent", "text": "Orders of the week"}, True),
        ({"type": "absent", "text": "warm oven"}, False),
        ({"type": "order", "before": "A baker", "after": "The energy"}, True),
        ({"type": "order", "before": "The energy", "after": "A baker"}, False),
        ({"type": "order", "before": "A butcher of meat", "after": "The energy"}, False),
        ({"type": "table", "cell": "120", "left": "Monday", "right": "41", "up": "Loaves", "down": "85"}, True),
        ({"type": "table", "cell": "27", "top_heading": "Wood", "left_heading": "Tuesday"}, True),
        ({"type": "table", "cell": "120", "left": "Tuesday"}, False),
        ({"type": "table", "cell": "8", "top_heading": "Sales", "up": "south"}, True),
        ({"type": "table", "cell": "2025", "up": "Year"}, True),
        ({"type": "table", "cell": "121"}, False),
        ({"type": "math", "math": "E=mc^2"}, True),
        ({"type": "math", "math": r"\dfrac{a}{b}"}, True),
        ({"type": "math", "math": "E=mc^3"}, False),
        ({"type": "math", "math": r"\frac{a}{b}", "ignore_dollar_delimited": True}, True),
        ({"type": "math", "math": "E=mc^2", "ignore_dollar_delimited": True}, False),
        ({"type": "present", "text": "E = mc", "first_n": 20, "last_n": 60}, True),
        ({"type": "present", "text": "lights the oven", "first_n": 20, "last_n": 20}, False),
        ({"type": "order", "before": "Monday", "after": "oven"}, False),
        ({"type": "order", "before": "the ofen", "after": "and then", "max_diffs": 1}, True),
        ({"type": "order", "before": "oven", "after": "oven"}, True),
        ({"type": "table", "cell": "north", "up": "Sales", "left": "Year", "right": "south", "down": "7"}, True),
        ({"type": "table", "cell": "Sales", "down": "south"}, True),
        ({"type": "table", "cell": "Year", "right": "north"}, True),
        ({"type": "table", "cell": "8", "left_heading": "2025", "top_heading": "south"}, True),
        ({"type": "table", "cell": "85", "up": "120", "ignore_markdown_tables": True}, False),
        ({"type": "table", "cell": "27", "left_heading": "85"}, False),
        ({"type": "table", "cell": "Tuesdya", "max_diffs": 2}, True),
        ({"type": "format", "format": "heading", "text": "The warm oven"}, True),
        ({"type": "format", "format": "bold", "text": "warm"}, True),
        ({"type": "format", "format": "bold", "text": "oven"}, False),
        ({"type": "footnote", "marker": "1", "appears_before_marker": "rests"}, True),
        ({"type": "footnote", "marker": "1", "appears_before_marker": "lights"}, False),
        ({"type": "footnote", "marker": "2"}, False),
        ({"type": "baseline"}, True),
        ({"type": "baseline", "max_length": 3}, False),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else str(value),
)
def test_a_check_passes_if_its_fact_holds(tmp_path, check, passes):
    path = tmp_path / "checks.jsonl"
    path.write_text(json.dumps({"pdf": "x.pdf", "page": 1, "id": "x", **check}) + "\n\n")
    (loaded,) = load_checks(path)
    assert loaded.passes(PAGE) is passes


def test_a_blank_page_is_not_read_and_has_no_tables(tmp_path):
    path = tmp_path / "checks.jsonl"
    lines = [{"type": "baseline"}, {"type": "baseline", "max_length": 0}, {"type": "table", "cell": "a"}]
    path.write_text(
        "\n".join(json.dumps({"pdf": "x.pdf", "page": 1, "id": str(at), **line}) for at, line in enumerate(lines))
    )
    assert [check.passes("") for check in load_checks(path)] == [False, True, False]


@pytest.mark.parametrize(
    "line", ['{"pdf": "x.pdf"', '{"pdf": "x.pdf", "id": "a", "type": "smell"}', '{"id": "a", "type": "baseline"}', "[]"]
)
def test_a_line_that_is_no_check_is_named(tmp_path, line):
    path = tmp_path / "checks.jsonl"
    path.write_text(f"\n{line}\n")
    with pytest.raises(InputError, match="line 2: "):
        load_checks(path)


def test_all_lines_that_are_no_checks_are_told(tmp_path):
    path = tmp_path / "checks.jsonl"
    good = {"pdf": "x.pdf", "page": 1, "id": "x", "type": "present", "text": "a"}
    lines = [good, good, {**good, "text": " "}, {**good, "id": "y", "max_diffs": -1}, {**good, "type": "order"}]
    path.write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(InputError) as raised:
        load_checks(path)
    told = str(raised.value)
    assert "line 1:" not in told
    for wrong in ("line 2: the id x occurs before", "line 3: text", "line 4: max_diffs", "line 5: before"):
        assert wrong in told


def test_a_file_without_checks_is_refused(tmp_path):
    path = tmp_path / "checks.jsonl"
    path.write_text("\n")
    with pytest.raises(InputError, match="has no checks"):
        load_checks(path)


@given(st.text(alphabet="ab ", min_size=2, max_size=8), st.text(alphabet="ab c", max_size=40), st.integers(0, 1))
def test_a_near_match_is_one_whose_text_differs_by_no_more(wanted, text, most):
    """Checked against every part of the text."""
    parts = (text[start:end] for start in range(len(text) + 1) for end in range(start, len(text) + 1))
    near = any(Levenshtein.distance(wanted, part) <= most for part in parts)
    assert bool(places(wanted, text, most)) is near
