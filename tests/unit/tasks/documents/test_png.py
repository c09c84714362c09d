"""PNG files: those that are written here are accepted, and no others."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.documents.png import check, encoded, most_bytes

PNG = encoded(bytes(range(60)), 5, 4, 3)


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3]), st.data())
def test_a_written_file_is_accepted(width, height, bands, data):
    size = width * height * bands
    png = encoded(data.draw(st.binary(min_size=size, max_size=size)), width, height, bands)
    check(png, width, height)
    assert len(png) <= most_bytes(width, height)


@given(st.integers(0, len(PNG) - 1), st.integers(1, 255))
def test_a_file_with_any_other_byte_is_refused(at, change):
    with pytest.raises(ValueError, match="PNG"):
        check(PNG[:at] + bytes([PNG[at] ^ change]) + PNG[at + 1 :], 5, 4)


@given(st.binary(max_size=200))
def test_any_other_bytes_are_refused(data):
    for whole in (data, PNG[:8] + data, PNG[:33] + data):
        with pytest.raises(ValueError, match="PNG"):
            check(whole, 5, 4)


@pytest.mark.parametrize("size", [(4, 5), (5, 5), (0, 4), (5, -4), (2**20, 4)])
def test_a_file_of_another_size_is_refused(size):
    with pytest.raises(ValueError, match="PNG"):
        check(PNG, *size)


@pytest.mark.parametrize("pixels", [0, 63, 65, 50_000_000])
def test_a_file_with_a_wrong_number_of_pixels_is_refused_before_all_are_unpacked(pixels):
    packed = zlib.compress(bytes(pixels), 9)
    chunk = struct.pack(">I", len(packed)) + b"IDAT" + packed + struct.pack(">I", zlib.crc32(b"IDAT" + packed))
    with pytest.raises(ValueError, match="pixels"):
        check(PNG[:33] + chunk + PNG[-12:], 5, 4)
