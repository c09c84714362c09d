"""Cheap evidence of how the lines of print on a page run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tasks.scans.lines import likely_turns
from tests.support import scans


def test_print_that_lies_upright_gives_no_reason_to_turn_it():
    assert likely_turns(scans.prose()) == ()


@pytest.mark.parametrize("make", [scans.prose, scans.han, scans.music])
@pytest.mark.parametrize("degrees", [-5, 0, 5])
def test_lines_are_not_taken_for_sideways_ones_whatever_they_consist_of(make, degrees):
    assert likely_turns(scans.askew(make(), degrees)) in {(), (180,)}


@pytest.mark.parametrize("font", ["helv", "hebo", "tiro", "cour"])
@pytest.mark.parametrize("size", [9, 11, 14])
@pytest.mark.parametrize("dpi", [77, 110, 137])
def test_print_shows_how_it_lies_with_and_without_serifs(font, size, dpi):
    page = scans.drawing(
        lambda sheet: sheet.insert_textbox((60, 60, 535, 780), scans.PROSE * 4, fontsize=size, fontname=font), dpi
    )
    assert [likely_turns(lying) for lying in scans.in_all_positions(page)] == [(), (270, 90), (180,), (90, 270)]


@pytest.mark.parametrize(("lies", "turns"), [(1, (270, 90)), (2, (180,)), (3, (90, 270))])
def test_print_that_is_turned_is_seen_with_the_right_turn_first(lies, turns):
    assert likely_turns(scans.in_all_positions(scans.prose())[lies]) == turns


@given(shade=st.integers(0, 255), width=st.integers(1, 400), height=st.integers(1, 400))
def test_a_page_of_one_shade_gives_no_reason_to_turn_it(shade, width, height):
    assert likely_turns(Image.new("L", (width, height), shade)) == ()
