"""Text of others is shown as it is, in one line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.text.markdown import EXCERPT, escaped, excerpt, table


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a | b", r"a \| b"),
        ("[Click](http://evil) <b>", r"\[Click\](http://evil) \<b\>"),
        ("# Title\n\n1. One", r"\# Title 1. One"),
        ("1. Introduction", r"1\. Introduction"),
        ("12) x", r"12\) x"),
        ("- item", r"\- item"),
        ("file_name *bold* `code` ~no~", r"file\_name \*bold\* \`code\` \~no\~"),
        ("![picture](x) &lt;", r"\!\[picture\](x) \&lt;"),
        ("back\\slash", r"back\\slash"),
        ("2026 was", "2026 was"),
    ],
)
def test_what_would_mean_something_is_escaped(text: str, shown: str):
    assert escaped(text) == shown


@given(st.text())
def test_an_excerpt_is_one_short_line_and_breaks_no_table(text: str):
    shown = excerpt(text)
    assert len(shown.splitlines()) <= 1
    assert len(shown) <= 2 * EXCERPT + 1
    cell = shown.replace(r"\\", "").replace(r"\|", "")
    assert "|" not in cell


def test_a_long_text_is_cut_off_and_says_so():
    assert excerpt("word " * 100) == ("word " * 16).strip()[: EXCERPT - 1] + "…"
    assert excerpt("short") == "short"


def test_a_table_has_a_head_and_a_row_a_line():
    assert table(("a", "b"), [("1", "2")]) == ["| a | b |", "| --- | --- |", "| 1 | 2 |"]
