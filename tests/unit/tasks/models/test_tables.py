"""Tables as HTML and as Markdown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.models.tables import html_tables_to_markdown, markdown_table, markdown_tables_to_html

HTML = (
    '<table class="t"><thead><tr><th>Year</th><th>Sum</th></tr></thead>'
    "<tbody><tr><td>2025</td><td>1|2 &amp; <b>3</b></td></tr><tr><td>x<br>y</td></tr></tbody></table>"
)


def test_a_plain_html_table_becomes_markdown():
    assert html_tables_to_markdown(f"Before\n\n{HTML}\n\nafter") == (
        "Before\n\n| Year | Sum |\n| --- | --- |\n| 2025 | 1\\|2 & **3** |\n| x<br>y |  |\n\nafter"
    )


@pytest.mark.parametrize(
    "table",
    [
        '<table><tr><td colspan="2">a</td></tr></table>',
        "<table><tr><td rowspan=3>a</td></tr></table>",
        "<table><tr><td><table><tr><td>a</td></tr></table></td></tr></table>",
        "<table></table>",
    ],
)
def test_a_table_that_markdown_cannot_show_stays_html(table):
    assert html_tables_to_markdown(table) == table


def test_a_caption_stands_before_its_table():
    table = "<table><caption>Sales\n2025</caption><tr><td>a</td></tr></table>"
    assert html_tables_to_markdown(table) == "Sales 2025\n\n| a |\n| --- |"


def test_cells_whose_ends_were_forgotten_are_cells():
    assert html_tables_to_markdown("<table><tr><td>a<td>b<tr><td>c<td>d</table>") == (
        "| a | b |\n| --- | --- |\n| c | d |"
    )


def test_a_markdown_table_becomes_html():
    table = "Text\n\n| a | b \\| c |\n|:--|---:|\n| <1> | 2 |\n\nmore"
    assert markdown_tables_to_html(table) == (
        "Text\n\n<table>\n<tr><th>a</th><th>b | c</th></tr>\n<tr><td>&lt;1&gt;</td><td>2</td></tr>\n</table>\n\nmore"
    )


@given(
    st.integers(1, 4).flatmap(
        lambda width: st.lists(
            st.lists(st.text(alphabet="abc1é", min_size=1, max_size=5), min_size=width, max_size=width),
            min_size=1,
            max_size=4,
        )
    )
)
def test_a_table_survives_both_ways(rows):
    table = markdown_table(rows)
    assert html_tables_to_markdown(markdown_tables_to_html(table)) == table
