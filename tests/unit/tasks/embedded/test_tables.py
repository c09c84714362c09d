"""Tables of numbers are found by where their words stand, and columns of prose are none."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tasks.embedded.tables import Word, markdown_table

HEIGHT = 10


def words(*rows: dict[int, str], left: int = 100) -> list[Word]:
    """Words on a page: a row is its texts by where they begin; letters are 6 pixels wide, rows 20 apart."""
    found = []
    for down, row in enumerate(rows):
        for x, text in row.items():
            at = left + x
            for part in text.split():
                found.append(Word(part, at, 20 * down, at + 6 * len(part), 20 * down + HEIGHT))
                at += 6 * len(part) + 4
    return found


BILLS = (
    {0: "Cost of revenue", 200: "$", 230: "178", 300: "$", 330: "141"},
    {0: "Research", 224: "3,423", 324: "2,532"},
    {0: "Sales", 224: "1,136", 330: "876"},
)


def test_each_row_becomes_a_line_and_each_column_a_cell():
    head = {0: "Item", 200: "Jan 2025", 300: "Jan 2024"}
    assert markdown_table(words(head, *BILLS)) == (
        "| Item | Jan 2025 | Jan 2024 |\n"
        "| --- | --- | --- |\n"
        "| Cost of revenue | $ 178 | $ 141 |\n"
        "| Research | 3,423 | 2,532 |\n"
        "| Sales | 1,136 | 876 |"
    )


def test_a_heading_of_several_columns_comes_before_the_table():
    above = ({240: "Year Ended"}, {200: "Jan 2025", 300: "Jan 2024"}, {230: "(in millions)"})
    table = markdown_table(words(*above, *BILLS))
    assert table.split("\n")[:4] == ["Year Ended", "(in millions)", "", "|  | Jan 2025 | Jan 2024 |"]


def test_an_empty_cell_keeps_the_columns_apart():
    head = {0: "Item", 200: "2023", 300: "2024", 400: "2025"}
    rows = ({0: "Oak", 200: "11", 300: "12", 400: "13"}, {0: "Elm", 200: "21", 400: "23"}, {0: "Ash", 300: "32"})
    lines = markdown_table(words(head, *rows)).split("\n")
    assert lines[3:] == ["| Elm | 21 |  | 23 |", "| Ash |  | 32 |  |"]


def test_a_bar_in_a_cell_does_not_end_it():
    rows = ({0: "x", 200: "7", 300: "8"}, {0: "a|b", 200: "1", 300: "2"})
    assert "| a\\|b | 1 | 2 |" in markdown_table(words(*rows, *BILLS))


def test_columns_of_prose_are_no_table():
    prose = ({0: "the left words", 200: "the middle words", 400: "the right words"},) * 6
    assert markdown_table(words(*prose)) is None


def test_a_list_with_page_numbers_is_no_table():
    assert markdown_table(words(*({0: f"Chapter {number}", 300: str(number)} for number in range(9)))) is None


def test_rows_that_share_hardly_a_column_are_no_table():
    rows = ({0: "12+ of therapy"}, {0: "Year 1", 200: "2"}, {300: "3"}, {400: "4"}, {0: "15+ of therapy"})
    assert markdown_table(words(*rows)) is None


def test_nothing_is_no_table():
    assert markdown_table([]) is None


@given(
    st.lists(st.lists(st.integers(0, 99_999), min_size=3, max_size=3), min_size=2, max_size=8),
    st.integers(-2, 2),
    st.integers(0, 400),
)
def test_every_number_stays_in_its_column_wherever_the_table_stands(numbers, jitter, left):
    head = {0: "Name", 200: "one", 300: "two", 400: "three"}
    rows = []
    for down, row in enumerate(numbers):
        places = (200 + 100 * at + jitter * (down % 2) for at in range(3))
        rows.append({0: "row", **dict(zip(places, map(str, row), strict=True))})
    lines = markdown_table(words(head, *rows, left=left)).split("\n")
    assert [[int(cell) for cell in line.split(" | ")[1:3]] for line in lines[2:]] == [row[:2] for row in numbers]
