"""The texts of a page's strips are put together: no line lost, none doubled, or the seam is named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.documents.page_image import PageImage
from tasks.reading.strips import seam, stitched


def strip(overlap: float = 0.0, *, clean: bool = True) -> PageImage:
    return PageImage(b"", 100, 100, 150, 0.1, clean=clean, overlap=overlap)


def lines(first: int, last: int) -> list[str]:
    return [f"Item {number:03} apples {number % 9}.{number % 97:02}" for number in range(first, last)]


def test_strips_that_meet_at_a_seam_follow_each_other():
    texts = ["\n".join(lines(0, 5)), "\n".join(lines(5, 9)), ""]
    assert stitched(texts, [strip(), strip(), strip()]) == ("\n".join(lines(0, 9)), True)


@given(st.integers(8, 40), st.integers(1, 6), st.integers(0, 30))
def test_lines_that_two_strips_share_are_kept_once(before, shared, after):
    first, second = lines(0, before), lines(before - shared, before + after)
    overlap = shared / len(second)
    text, sure = stitched(["\n".join(first), "\n".join(second)], [strip(), strip(overlap, clean=False)])
    assert text.splitlines() == lines(0, before + after)
    assert sure


@given(st.integers(1, 6), st.integers(6, 20))
def test_equal_lines_are_shared_as_far_as_the_strips_overlap(shared, after):
    """Ten times the same purchase are ten lines."""
    second = ["1 x Milk 0.99"] * after
    _, skipped = seam(["1 x Milk 0.99"] * 20, second, shared / after)
    assert skipped == shared


def test_cut_lines_are_dropped():
    first, second = [*lines(0, 10), "ltem 0l0 appl"], ["em 007 app es", *lines(8, 15)]
    text, sure = stitched(["\n".join(first), "\n".join(second)], [strip(), strip(0.4, clean=False)])
    assert (text.splitlines(), sure) == (lines(0, 15), True)


def test_a_line_that_was_read_a_little_differently_is_the_same():
    second = [*lines(7, 9), "Item 009 appies 0.09", *lines(10, 15)]
    text, sure = stitched(["\n".join(lines(0, 10)), "\n".join(second)], [strip(), strip(0.4, clean=False)])
    assert (len(text.splitlines()), sure) == (15, True)


def test_lines_that_differ_only_in_their_digits_are_not_the_same():
    assert seam(lines(0, 10), lines(10, 20), 0.3) == (0, 0)


@pytest.mark.parametrize("overlap", [0.0, 0.3])
def test_a_seam_that_was_not_found_is_flagged(overlap):
    text, sure = stitched(["one\ntwo", "three\nfour"], [strip(), strip(overlap, clean=False)])
    assert (text, sure) == ("one\ntwo\nthree\nfour", False)


def test_a_blank_strip_leaves_nothing_unsure():
    assert stitched(["", "one"], [strip(), strip(0.3, clean=False)]) == ("one", True)
