"""Page selections."""

from __future__ import annotations

import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.errors import InputError
from tasks.core.page_ranges import select_pages


def test_no_selection_means_all_pages():
    assert select_pages(None, 3) == (1, 2, 3)


@pytest.mark.parametrize(
    ("selection", "meant"),
    [
        ("3", (3,)),
        ("3,7-9", (3, 7, 8, 9)),
        ("8-", (8, 9, 10)),
        ("9-9", (9,)),
        (" 2 , 4 - 5 ", (2, 4, 5)),
        ("5,1-2,2", (1, 2, 5)),
    ],
)
def test_a_selection_is_numbers_and_ranges(selection, meant):
    assert select_pages(selection, 10) == meant


def test_no_selection_is_every_page():
    assert select_pages(None, 3) == select_pages("", 3) == (1, 2, 3)


@pytest.mark.parametrize("selection", [" ", ",", "3,", "-3", "a", "1..3", "1-2-3", "1.5", "٣", "all", "1_0"])
def test_an_invalid_selection_shows_how_to_write_it(selection):
    with pytest.raises(InputError, match=re.escape(repr(selection)) + ".*Write it like 3,7-9"):
        select_pages(selection, 10)


@pytest.mark.parametrize("selection", [",".join(["1-"] * 20_000), f"1-{' ' * 100_000}10", f"1{' ' * 100_000}- 10"])
def test_the_time_for_a_selection_grows_with_its_length_only(selection):
    """Not by a clock: the numbers of 20,000 ranges one by one would not fit into memory."""
    assert select_pages(selection, 10) == tuple(range(1, 11))
    assert len(select_pages(",".join(["1-"] * 20_000), 20_000)) == 20_000


def test_a_long_selection_is_shortened_in_the_error():
    with pytest.raises(InputError) as raised:
        select_pages(f"1-{' ' * 100_000}x", 10)
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize("selection", ["0", "11", "5-11", "7-3", "11-", "99999999"])
def test_a_missing_page_is_reported_with_the_number_of_pages(selection):
    with pytest.raises(InputError, match=f"'{selection}' is out of .*10 pages"):
        select_pages(selection, 10)


@st.composite
def selections(draw) -> tuple[int, set[int], str]:
    """A document's pages, some of them, and a way to write those."""
    pages = draw(st.integers(1, 300))
    number = st.integers(1, pages)
    parts = draw(st.lists(st.tuples(number, number).map(sorted), min_size=1, max_size=8))
    meant = {number for first, last in parts for number in range(first, last + 1)}
    written = [str(first) if first == last else f"{first}-{last}" for first, last in parts]
    return pages, meant, ",".join(written)


@given(selections())
def test_a_selection_gives_each_page_once_and_in_order(case):
    pages, meant, selection = case
    assert select_pages(selection, pages) == tuple(sorted(meant))


@given(st.text() | st.text("0123456789-, \n"), st.integers(1, 50))
def test_any_text_is_a_selection_or_an_input_error(selection, pages):
    with suppress(InputError):
        assert set(select_pages(selection, pages)) <= set(range(1, pages + 1))
