"""Whatever a server sends can be stored and shown."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.text.legible import REPLACEMENT, legible


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("a\ud800b", f"a{REPLACEMENT}b"),
        ("\udc00", REPLACEMENT),
        ("a\0b\x1b[31m", f"a{REPLACEMENT}b{REPLACEMENT}[31m"),
        ("\x85\x9b", REPLACEMENT * 2),
        ("\ud83d\ude00", "\N{GRINNING FACE}"),
        ("a\tb\r\nc\fd", "a\tb\r\nc\fd"),
    ],
)
def test_what_is_no_text_is_replaced_and_halves_are_put_together(sent, read):
    assert legible(sent) == read


def test_a_pair_that_was_cut_apart_between_two_pieces_is_one_character():
    assert legible(json.loads('"\\ud83d"') + json.loads('"\\ude00"')) == "\N{GRINNING FACE}"


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"])))
def test_text_stays_as_it_is(text):
    assert legible(text) == text


@given(st.text(st.characters(codec=None)))
def test_whatever_comes_can_be_written_to_a_file(text):
    assert "\0" not in legible(text).encode().decode()
