"""What is read from the wire, with whatever inputs can be made up: durations, bodies and hosts."""

import base64
import contextlib
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.embedded import fields, wire
from tasks.embedded.errors import BadRequestError
from tasks.embedded.guards import is_local

texts = st.text(st.characters(exclude_categories=("Cs",)))

UNITS = {"h": 3600, "m": 60, "s": 1, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


class TestDurations:
    @given(
        st.lists(st.tuples(st.integers(0, 999), st.sampled_from(list(UNITS))), min_size=1),
        st.sampled_from(["", "-", "+"]),
    )
    def test_a_go_duration_is_the_sum_of_its_parts(self, parts, sign):
        seconds = sum(number * UNITS[unit] for number, unit in parts) * (-1 if sign == "-" else 1)
        text = sign + "".join(f"{number}{unit}" for number, unit in parts)
        assert wire.parse_duration(text) == pytest.approx(seconds)

    @pytest.mark.parametrize(("text", "seconds"), [("5m", 300), ("1h30m", 5400), ("1.5s", 1.5), (".5s", 0.5), ("0", 0)])
    def test_examples(self, text, seconds):
        assert wire.parse_duration(text) == seconds

    @pytest.mark.parametrize("text", ["", "-", "5", "-1", "5 m", "m", "1d", "five", "1.2.3s", "5m3"])
    def test_what_go_does_not_take_is_refused(self, text):
        with pytest.raises(BadRequestError, match="time: "):
            wire.parse_duration(text)

    @given(st.text())
    def test_no_text_does_more_than_be_refused(self, text):
        with contextlib.suppress(BadRequestError):
            assert math.isfinite(wire.parse_duration(text))

    @given(st.integers(0, 10**6) | st.floats(0, 1e6))
    def test_a_keep_alive_in_numbers_is_in_seconds(self, seconds):
        assert wire.parse_keep_alive(seconds) == seconds

    @pytest.mark.parametrize("value", [-1, -0.5, "-1m", "-1h"])
    def test_a_negative_keep_alive_is_infinite(self, value):
        assert wire.parse_keep_alive(value) == math.inf


class TestBodies:
    @given(st.binary())
    def test_no_bytes_do_more_than_be_refused(self, body):
        with contextlib.suppress(BadRequestError):
            assert isinstance(wire.parse_body(body, fields.GENERATE_FIELDS, "GenerateRequest"), dict)

    @settings(max_examples=30)
    @given(
        st.dictionaries(
            st.sampled_from(sorted(fields.CHAT_FIELDS)),
            st.recursive(st.none() | st.booleans() | st.integers() | texts, st.lists),
        )
    )
    def test_no_object_does_more_than_be_refused(self, value):
        with contextlib.suppress(BadRequestError):
            found = wire.parse_body(json.dumps(value).encode(), fields.CHAT_FIELDS, "ChatRequest")
            assert None not in found.values()

    def test_what_follows_the_first_value_is_ignored_as_in_go(self):
        assert wire.parse_body(b' {"model": "x"} rubbish', fields.MODEL_FIELDS, "ShowRequest") == {"model": "x"}

    @given(st.binary())
    def test_base64_comes_back_as_it_was(self, data):
        encoded = base64.b64encode(data).decode()
        assert wire.parse_images([encoded]) == [data]

    def test_base64_may_have_line_ends(self):
        assert wire.parse_images(["aGVs\r\nbG8=\n"]) == [b"hello"]

    @given(st.text())
    def test_what_is_no_base64_is_refused(self, text):
        with contextlib.suppress(BadRequestError):
            (data,) = wire.parse_images([text])
            assert base64.b64encode(data).decode() == text.replace("\r", "").replace("\n", "")


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1:80", "[::1]:80", "::1", "10.1.2.3", "a.localhost", ""]
)
def test_names_of_this_machine_are_local(host):
    assert is_local(host)


@pytest.mark.parametrize(
    "host", ["example.com", "8.8.8.8", "localhost.example.com", "[2001:4860::1]:80", "127.0.0.1.example"]
)
def test_other_names_are_not(host):
    assert not is_local(host)
