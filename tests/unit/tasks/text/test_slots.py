"""Slots in words."""

from __future__ import annotations

import pytest

from tasks.text.slots import slots_text


@pytest.mark.parametrize(
    ("slots", "seen", "words"),
    [
        (8, None, "8 slots"),
        (1, None, "1 slot"),
        (8, 3, "8 slots asked for, 3 seen at work at once"),
        (8, 0, "8 slots asked for, none seen at work at once"),
    ],
)
def test_a_number_that_is_not_proven_is_told_as_asked_for(slots, seen, words):
    assert slots_text(slots, seen) == words
