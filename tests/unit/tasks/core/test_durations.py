"""Durations as people write them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.durations import PATTERN, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("45s", 45),
        ("90 minutes", 5400),
        ("1 h 30 min", 5400),
        ("1h30m", 5400),
        ("1.5 hours", 5400),
        ("1,5h", 5400),
        ("2 Days", 172_800),
        ("1 week", 604_800),
        ("PT2H", 7200),
        ("pt1h30m", 5400),
        ("P1DT2H", 93_600),
        (" 2h ", 7200),
    ],
)
def test_a_duration_is_understood(text: str, seconds: float):
    assert parse_duration(text) == seconds
    assert re.search(PATTERN, text)


@pytest.mark.parametrize("text", ["", "2", "soon", "06:00", "-2h", "2 months", "h", "P", "P1Y", "1h " * 50, "2h and"])
def test_what_is_no_duration_is_refused(text: str):
    with pytest.raises(ValueError, match="is not a duration; write it like 2h"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["0h", "PT0S", "367 d", "999999999 weeks"])
def test_a_duration_is_above_nothing_and_at_most_a_year(text: str):
    with pytest.raises(ValueError, match="at most 366 days"):
        parse_duration(text)


@given(st.text("0123456789.,PTDHMSWhmsdinute \u0663-", max_size=30))
def test_whatever_is_understood_passes_the_forms_check_too(text: str):
    try:
        seconds = parse_duration(text)
    except ValueError:
        return
    assert 0 < seconds <= 366 * 86_400
    assert re.search(PATTERN, text)
