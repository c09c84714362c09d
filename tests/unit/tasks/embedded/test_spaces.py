"""Spaces that the recogniser left out are found by gaps, and no word or number is parted without one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.embedded.spaces import Glyph, lost_spaces

HEIGHT = 10


def word(text: str, left: int = 0, *, gaps: dict[int, int] | None = None, width: int = 8, gap: int = 1) -> list[Glyph]:
    """A word whose characters are equally wide, with other gaps before some of them."""
    glyphs, wider = [], gaps or {}
    for at, character in enumerate(text):
        blank = wider.get(at + 1, gap) if at + 1 < len(text) else 0
        glyphs.append(Glyph(character, left, left + width, HEIGHT, blank))
        left += width + blank
    return glyphs


def line(*texts: str, space: int = 5) -> list[list[Glyph]]:
    """Words without a lost space, of letters that differ in width."""
    words, left = [], 0
    for text in texts:
        glyphs = []
        for character in text:
            width = 3 if character in "ilt" else 9
            glyphs.append(Glyph(character, left, left + width, HEIGHT, 1))
            left += width + 1
        words.append(glyphs)
        left += space
    return words


def test_a_gap_as_wide_as_a_letter_is_high_parts_two_cells():
    assert lost_spaces([word("2109.5", gaps={3: 40})]) == [[3]]


def test_a_gap_that_is_clearly_wider_than_those_of_the_line_parts_two_words():
    words = line("the", "oldest", "mill", "stands", "still")
    words.append(
        [
            Glyph("i", 300, 303, HEIGHT, 1),
            Glyph("s", 304, 312, HEIGHT, 5),
            Glyph("t", 317, 320, HEIGHT, 1),
            Glyph("h", 321, 329, HEIGHT, 1),
            Glyph("e", 330, 338, HEIGHT, 0),
        ]
    )
    assert lost_spaces(words) == [[], [], [], [], [], [2]]


def test_a_narrow_space_parts_the_thousands_of_a_number():
    assert lost_spaces([word("33961", gaps={2: 5}), word("34507", 200)]) == [[2], []]


def test_the_blank_beside_a_1_parts_no_number():
    one = [Glyph("2", 0, 8, HEIGHT, 3), Glyph("1", 11, 15, HEIGHT, 3), Glyph("0", 18, 26, HEIGHT, 1)]
    assert lost_spaces([[*one, Glyph("7", 27, 35, HEIGHT)], word("2046", 80)]) == [[], []]


def test_small_digits_are_never_parted():
    assert lost_spaces([word("20145", gaps={2: 3}, width=5)]) == [[]]


def test_print_that_is_spaced_out_keeps_its_words():
    assert lost_spaces([word("HOURS", gap=5), word("OPEN", 100, gap=5)]) == [[], []]


def test_a_monospaced_line_is_parted_by_missing_characters_and_not_by_gaps_beside_narrow_ones():
    narrow = [
        Glyph(each, 12 * at + (5 if each in "il" else 1), 12 * at + (7 if each in "il" else 11), 10, 5)
        for at, each in enumerate("filil")
    ]
    assert lost_spaces([narrow, word("machine", 100, width=10, gap=2)]) == [[], []]
    assert lost_spaces([word("ismachine", gaps={2: 14}, width=10, gap=2)]) == [[2]]


def test_faint_strokes_that_look_blank_part_no_word():
    faint = [Glyph("n", 0, 9, HEIGHT, 6), Glyph("g", 10, 19, HEIGHT, 0)]
    assert lost_spaces([*line("the", "king"), faint]) == [[], [], []]


def test_dotted_lines_before_a_number_are_no_words():
    assert lost_spaces([word("matter..40", gaps={6: 20, 7: 20, 8: 20})]) == [[]]


@pytest.mark.parametrize("text", ["\u4e00\u4e8c\u4e09", "\u05d0\u05d1\u05d2", "\u0e01\u0e02\u0e03"])
def test_scripts_with_other_rules_for_spaces_stay_as_they_are(text):
    assert lost_spaces([word(text, gaps={1: 30})]) == [[]]


@given(st.lists(st.text("abcdefgilmnot019.,-", min_size=1, max_size=9), max_size=8), st.integers(0, 3))
def test_print_with_even_gaps_is_never_parted(texts, gap):
    words, left = [], 0
    for text in texts:
        words.append(word(text, left, gap=gap))
        left = words[-1][-1].right + 6
    assert lost_spaces(words) == [[]] * len(texts)


def test_a_line_without_characters_has_no_spaces():
    assert lost_spaces([]) == []
