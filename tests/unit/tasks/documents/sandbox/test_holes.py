"""Zeros in a picture's data are a hole only where they stand for missing data."""

from __future__ import annotations

import io
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tasks.documents.sandbox.stream_checks import damage


def _jpeg(**options: Any) -> bytes:
    stored = io.BytesIO()
    Image.new("L", (2000, 2000), 255).save(stored, "JPEG", **options)
    return stored.getvalue()


@pytest.mark.parametrize("options", [{}, {"optimize": True}, {"progressive": True}, {"quality": 5}])
def test_an_even_jpeg_has_no_hole(options):
    assert damage(_jpeg(**options), "DCTDecode", instructions=False) is None


def test_zeros_before_a_jpegs_scan_are_padding():
    jpeg = _jpeg()
    padded = jpeg[:2] + b"\xff\xe1" + (1002).to_bytes(2, "big") + bytes(1000) + jpeg[2:]
    assert damage(padded, "DCTDecode", instructions=False) is None


@pytest.mark.parametrize("layers", [1, 20])
def test_an_even_jpeg_2000_has_no_hole(layers):
    stored = io.BytesIO()
    options = {"quality_layers": [*range(layers, 0, -1)], "tile_size": (256, 256)}
    Image.new("RGB", (1024, 1024), "white").save(stored, "JPEG2000", **options)
    assert damage(stored.getvalue(), "JPXDecode", instructions=False) is None


def test_the_pixels_of_an_inline_picture_are_no_hole():
    inline = b"q BI /W 40 /H 40 /BPC 8 /CS /G ID " + bytes(1600) + b" EI Q"
    assert damage(inline, "", instructions=True) is None
    assert damage(inline + bytes(100) + b"BT ET", "", instructions=True) is not None


@given(st.binary(max_size=4000))
def test_sound_deflated_data_match_their_checksum(data):
    assert damage(zlib.compress(data), "FlateDecode", instructions=False) is None


@given(st.binary(max_size=300), st.sampled_from(["JBIG2Decode", "DCTDecode", "JPXDecode", "FlateDecode", "LZW", ""]))
def test_any_bytes_get_an_answer(data, coding):
    found = damage(data, coding, instructions=True)
    assert found is None or found.strip()
