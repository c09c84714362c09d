"""A table that the recogniser found in parts is put together; what stands beside and below it stays text."""

from __future__ import annotations

from tasks.embedded.layout import text_of
from tasks.embedded.lines import Line
from tasks.embedded.tables import Word

HEIGHT, ROW = 10, 20
ROWS = (("Monday", "120", "6.5"), ("Tuesday", "85", "4.0"), ("Thursday", "210", "9.5"), ("Friday", "164", "8.0"))
KILOS = ("41", "27", "58", "49")
COLUMNS = (0, 100, 200, 300)


def row(top: int, *cells: tuple[int, str]) -> list[Word]:
    words = []
    for begin, text in cells:
        left = begin
        for part in text.split():
            words.append(Word(part, left, top, left + 7 * len(part), top + HEIGHT))
            left += 7 * len(part) + 4
    return words


def block(*rows: list[Word], table: bool = False) -> list[Line]:
    words = [word for row in rows for word in row]
    box = (
        min(word.left for word in words),
        min(word.top for word in words),
        max(word.right for word in words),
        max(word.bottom for word in words),
    )
    lines = []
    for at, each in enumerate(rows):
        text = " ".join(word.text for word in each)
        word = Word(text, each[0].left, each[0].top, each[-1].right, each[0].bottom)
        lines.append(Line(word, begins=not at, words=tuple(each), block=box, is_table=table))
    return lines


HEAD = block(row(100, *zip(COLUMNS, ("Day", "Loaves", "Hours", "Wood"), strict=True)))
FIRST = block(row(120, *zip(COLUMNS, ROWS[0], strict=False)))
REST = block(
    *(row(140 + ROW * at, *zip(COLUMNS, cells, strict=False)) for at, cells in enumerate(ROWS[1:])), table=True
)
LAST = block(*(row(120 + ROW * at, (COLUMNS[3], kilos)) for at, kilos in enumerate(KILOS)))
WHOLE = (
    "| Day | Loaves | Hours | Wood |\n"
    "| --- | --- | --- | --- |\n"
    "| Monday | 120 | 6.5 | 41 |\n"
    "| Tuesday | 85 | 4.0 | 27 |\n"
    "| Thursday | 210 | 9.5 | 58 |\n"
    "| Friday | 164 | 8.0 | 49 |"
)


def test_heading_first_row_and_last_column_are_put_to_their_table():
    above, below = block(row(60, (0, "Orders of the week"))), block(row(240, (0, "On Wednesday the oven stayed cold.")))
    text = text_of([*above, *HEAD, *FIRST, *REST, *LAST, *below])
    assert text == f"\n\nOrders of the week\n\n{WHOLE}\n\nOn Wednesday the oven stayed cold."


def test_a_table_stands_where_its_first_part_was():
    prose = block(row(400, (0, "The last column was found after this.")))
    assert text_of([*HEAD, *FIRST, *REST, *prose, *LAST]) == f"\n\n{WHOLE}\n\nThe last column was found after this."


def test_prose_beside_a_table_in_the_same_rows_stays_prose():
    prose = block(*(row(120 + ROW * at, (420, "a line of the next column of text")) for at in range(4)))
    text = text_of([*HEAD, *FIRST, *REST, *LAST, *prose])
    assert text == f"\n\n{WHOLE}\n\n" + "\n".join(["a line of the next column of text"] * 4)


def test_lines_far_below_a_table_in_its_columns_are_another_one():
    other = block(row(400, *zip(COLUMNS, ("Oak", "1", "2", "3"), strict=True)))
    assert text_of([*HEAD, *FIRST, *REST, *LAST, *other]) == f"\n\n{WHOLE}\n\nOak 1 2 3"


def test_a_table_that_is_none_of_numbers_stays_lines():
    words = block(*(row(ROW * at, (0, "left"), (100, "middle"), (200, "right")) for at in range(4)), table=True)
    assert text_of(words) == "\n\n" + "\n".join(["left middle right"] * 4)


def test_a_page_without_lines_has_no_text():
    assert text_of([]) == ""
