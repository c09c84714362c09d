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
        "<table>loose<tr><td>a</td></tr></table>",
        "<table><tr>loose<td>a</td></tr></table>",
        '<table><tr><td rowspan="0">a</td></tr></table>',
        f'<table><tr><td colspan="{"9" * 5000}">a</td></tr></table>',
        "```html\n<table><tr><td>a</td></tr></table>\n```",
        "<table><tr><td>never ended</td></tr>",
        "<table>" + "<tr><td>a</td></tr>" * 2000 + "<tr>" + "<td>b</td>" * 2000 + "</tr></table>",
    ],
)
def test_a_table_that_markdown_cannot_show_stays_html(table):
    assert html_tables_to_markdown(table) == table


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("p < 0.05", "p < 0.05"),
        ("a<b", "a<b"),
        ("x &lt;b&gt; y", "x &lt;b> y"),
        ("<b> warm </b>oven", "**warm** oven"),
        ("<b></b>", ""),
        ("<b>never ended", "never ended"),
        ("<p>one</p><p>two</p>", "one<br>two"),
        ("<ul><li>one</li><li>two</li></ul>", "one<br>two"),
        ('<a href="u">one</a><img src="x.png">', '<a href="u">one</a><img src="x.png">'),
        ("H<sub>2</sub>O", "H<sub>2</sub>O"),
        ("one\r\ntwo", "one two"),
        ("\u0634\u0644\u0648\u05dd | x", "\u0634\u0644\u0648\u05dd \\| x"),
    ],
)
def test_nothing_of_a_cell_is_lost(cell, written):
    assert html_tables_to_markdown(f"<table><tr><td>{cell}</td><td>z</td></tr></table>") == (
        f"| {written} | z |\n| --- | --- |"
    )


def test_a_markdown_table_is_parted_from_the_text_beside_it():
    """What follows without an empty line would become a row."""
    table = "<table><tr><td>a</td></tr></table>"
    assert html_tables_to_markdown(f"before {table}after\n{table}{table}") == (
        "before\n\n| a |\n| --- |\n\nafter\n\n| a |\n| --- |\n\n| a |\n| --- |"
    )


def test_a_table_whose_beginning_was_repeated_is_found():
    assert html_tables_to_markdown("A <table> is\n\n<table><tr><td>a</td></tr></table>") == (
        "A <table> is\n\n| a |\n| --- |"
    )


def test_what_is_no_table_stays():
    text = "| a | b |\n\n|---|---|\n\n| a | b |\n|---|\n\n```\n| a |\n|---|\n```"
    assert markdown_tables_to_html(text) == text


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
        "Text\n\n<table>\n<tr><th>a</th><th>b | c</th></tr>\n<tr><td>&lt;1></td><td>2</td></tr>\n</table>\n\nmore"
    )


def _is_whole(cell: str) -> bool:
    """Whether a cell means itself: what looks like a tag or an entity, or ends in a backslash, means something else."""
    return "&" not in cell and "<" not in cell and "\\" not in cell and " ".join(cell.split()) == cell


@given(
    st.integers(1, 4).flatmap(
        lambda width: st.lists(
            st.lists(
                st.text(alphabet="abc1é|<>&;* \u05d0\\", max_size=5).map(str.strip).filter(_is_whole),
                min_size=width,
                max_size=width,
            ),
            min_size=1,
            max_size=4,
        )
    )
)
def test_a_table_survives_both_ways(rows):
    table = markdown_table([[cell.replace("|", "\\|") for cell in row] for row in rows])
    assert html_tables_to_markdown(markdown_tables_to_html(table)) == table
