"""The skew of scans: found, taken out, and left where it is not clear."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tasks.scans.skew import level, skew_of
from tests.support import scans

PROSE = scans.prose(100)


@given(degrees=st.floats(-7, 7))
def test_the_skew_of_print_is_found_to_a_fifth_of_a_degree(degrees):
    # An angle next to none may not be worth a turn.
    assert skew_of(scans.askew(PROSE, degrees)) == pytest.approx(degrees, abs=0.2 if abs(degrees) > 0.5 else 0.5)


@pytest.mark.parametrize("degrees", [-7, -3, -1, 1, 3, 7])
def test_a_page_is_level_once_its_skew_is_taken_out(degrees):
    back = level(scans.askew(PROSE, degrees))
    assert back.size != PROSE.size
    assert level(back) is back


@pytest.mark.parametrize("make", [scans.prose, scans.han, scans.chart, scans.music, scans.plan])
def test_a_page_without_skew_stays_as_it_is(make):
    page = make()
    assert level(page) is page


@pytest.mark.parametrize("shade", [0, 128, 255])
def test_a_blank_page_stays_as_it_is(shade):
    blank = Image.new("L", (600, 800), shade)
    assert level(blank) is blank


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (2, 2)])
def test_the_smallest_images_stay_as_they_are(size):
    image = Image.new("L", size)
    assert level(image) is image
