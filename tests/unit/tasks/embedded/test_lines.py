"""Lines are put together to paragraphs; two pieces of one row come in its order."""

from __future__ import annotations

from tasks.embedded.lines import Line, joined
from tasks.embedded.tables import Word


def line(text: str, left: int, top: int, *, width: int = 100, height: int = 16, begins: bool = False) -> Line:
    return Line(Word(text, left, top, left + width, top + height), begins=begins)


def test_a_paragraph_begins_after_a_blank_line():
    lines = (line("one", 0, 0, begins=True), line("two", 0, 20), line("three", 0, 60, begins=True))
    assert joined(lines) == "\n\none\ntwo\n\nthree"


def test_the_left_piece_of_a_row_comes_before_the_right_one():
    lines = (
        line("pregnan-", 0, 0),
        line("It is, therefore", 50, 20),
        line("cies?", 0, 22, width=40, height=8, begins=True),
    )
    assert joined((*lines, line("health", 0, 40))) == "\npregnan-\ncies? It is, therefore\nhealth"


def test_a_picture_between_the_pieces_does_not_part_them():
    lines = (line("right", 50, 20), line("", 40, 20, width=8), line("left", 0, 20, width=40))
    assert joined(lines) == "\nleft right"


def test_a_piece_far_to_the_left_is_of_another_column():
    lines = (line("right column", 300, 20), line("left column", 0, 20, begins=True))
    assert joined(lines) == "\nright column\n\nleft column"


def test_a_line_below_is_another_row():
    assert joined((line("right", 110, 0), line("left", 0, 12))) == "\nright\nleft"


def test_print_that_stands_upright_has_no_rows():
    lines = (line("side", 110, 0, width=10, height=300), line("note", 100, 0, width=10, height=20))
    assert joined(lines) == "\nside\nnote"


def test_a_row_that_is_read_from_the_right_keeps_its_order():
    first, second = "\u05d0\u05d1", "\u05d2\u05d3"  # Hebrew
    assert joined((line(first, 110, 0), line(second, 0, 0))) == f"\n{first}\n{second}"
