"""The pure parts, with whatever inputs can be made up."""

import base64
import contextlib
import json
import math
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tasks.embedded import answers, fields, wire
from tasks.embedded.errors import BadRequestError, FormatError, ImageError
from tasks.embedded.hosts import is_local
from tasks.embedded.images import inspect
from tasks.embedded.models import CONTEXT_LENGTH
from tasks.embedded.straighten import straighten
from tasks.embedded.tesseract import tidy
from tests.integration.embedded.pages import PARAGRAPHS, render

UNITS = {"h": 3600, "m": 60, "s": 1, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
texts = st.text(st.characters(exclude_categories=("Cs",)))


@pytest.fixture(scope="module")
def page():
    """Two paragraphs."""
    return render(((60, 80, 535, 180), PARAGRAPHS[0]), ((60, 200, 535, 300), PARAGRAPHS[1]))


def _greedy_schemas():
    """Schemas that demand gigabytes, each in another way."""
    arrays = {"type": "string"}
    for _ in range(4):
        arrays = {"type": "array", "items": arrays, "minItems": 100}
    doubled = {f"d{level}": _pair(f"#/$defs/d{level + 1}") for level in range(40)} | {"d40": {"type": "integer"}}
    long = {"const": "x" * 1_000_000}
    text = {"text": {"type": "string"}}
    yield {"properties": text | {"arrays": arrays}}
    yield {"properties": text | {"doubled": {"$ref": "#/$defs/d0"}}, "$defs": doubled}
    yield {"properties": text | {"long": {"type": "array", "items": long, "minItems": 100}}}
    yield {
        "properties": text | {"far": {"type": "array", "items": {"$ref": "#/a" + "/" * 10**6}, "minItems": 99}},
        "a": {},
    }
    yield {"properties": text | {f"name {number}": {} for number in range(100_000)}}


_sizes = st.integers(0, 10**12)
_names = st.dictionaries(st.text(max_size=9), st.deferred(lambda: _nested_schemas), max_size=4)
_nested_schemas = st.deferred(
    lambda: (
        st.fixed_dictionaries({"type": st.sampled_from(["string", "integer", "boolean", "null"])})
        | st.fixed_dictionaries({"type": st.just("array"), "items": _nested_schemas, "minItems": _sizes})
        | st.fixed_dictionaries({"type": st.just("object"), "properties": _names})
        | st.fixed_dictionaries({"anyOf": st.lists(_nested_schemas, min_size=1, max_size=2)})
        | st.fixed_dictionaries({"const": st.text() | _sizes})
    )
)


def _pair(reference):
    return {"properties": {"a": {"$ref": reference}, "b": {"$ref": reference}}}


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


class TestAnswers:
    @given(st.text())
    def test_tokens_join_to_the_text(self, text):
        assert "".join(answers.tokenize(text)) == text

    def test_an_english_sentence_has_somewhat_more_tokens_than_words(self):
        assert answers.tokenize("The harbour master keeps a ledger.") == [
            "The", " harbou", "r", " master", " keeps", " a", " ledger", ".",
        ]  # fmt: skip

    @given(texts, st.integers(1, 50))
    def test_a_limit_holds_and_is_told(self, text, limit):
        answer = answers.compose(text, None, (), limit)
        assert answer.tokens <= limit
        assert text.startswith(answer.text)
        assert answer.done_reason == ("length" if answer.text != text else "stop")

    @given(texts, st.text(min_size=1))
    def test_an_answer_holds_no_stop_word(self, text, word):
        answer = answers.compose(text, None, (word, ""), None)
        assert word not in answer.text
        assert answer.text == text.split(word)[0]

    @given(texts)
    def test_format_json_holds_the_text(self, text):
        assert json.loads(answers.compose(text, "json", (), None).text) == {"text": text}

    @pytest.mark.parametrize(
        ("schema", "value"),
        [
            ({"type": "string"}, "T"),
            ({"type": "object"}, {}),
            ({"type": "object", "properties": {"title": {"type": "string"}}}, {"title": "T"}),
            ({"properties": {"a": {"type": "string"}, "content": {"type": "string"}}}, {"a": "", "content": "T"}),
            ({"properties": {"text": {"type": ["string", "null"]}}}, {"text": "T"}),
            ({"properties": {"text": {"$ref": "#/$defs/t"}}, "$defs": {"t": {"type": "string"}}}, {"text": "T"}),
            ({"properties": {"n": {"type": "integer", "minimum": 1}, "m": {"type": "number"}}}, {"n": 1, "m": 0}),
            ({"properties": {"n": {"type": "integer", "maximum": -2}}}, {"n": -2}),
            ({"properties": {"e": {"enum": ["x", "y"]}, "c": {"const": 3}}}, {"e": "x", "c": 3}),
            ({"properties": {"d": {"type": "integer", "default": 7}}}, {"d": 7}),
            (
                {"properties": {"l": {"type": "array", "items": {"type": "boolean"}, "minItems": 2}}},
                {"l": [False, False]},
            ),
            ({"properties": {"o": {"oneOf": [{"type": "object", "properties": {}}]}}}, {"o": {}}),
            ({"properties": {"u": {}}}, {"u": None}),
        ],
    )
    def test_schemas_of_the_common_kinds_are_filled(self, schema, value):
        assert json.loads(answers.compose("T", schema, (), None).text) == value

    def test_a_schema_that_contains_itself_has_an_end(self):
        schema = {"properties": {"next": {"$ref": "#"}, "text": {"type": "string"}}}
        value = {"next": {"next": None, "text": ""}, "text": "T"}
        assert json.loads(answers.compose("T", schema, (), None).text) == value

    @pytest.mark.parametrize(
        "schema",
        [
            {"properties": 3},
            {"anyOf": [1]},
            {"enum": 4},
            {"$ref": "#/a/b"},
            {"$ref": 5},
            {"type": "integer", "minimum": "x"},
        ],
    )
    def test_a_broken_schema_is_refused(self, schema):
        with pytest.raises(FormatError, match="a valid JSON Schema object"):
            answers.compose("T", schema, (), None)

    def test_no_schema_asks_for_endless_arrays_and_the_answer_says_that_it_is_cut(self):
        schema = {"type": "array", "items": {"type": "string"}, "minItems": 10**12}
        answer = answers.compose("T", schema, (), None)
        assert (len(json.loads(answer.text)), answer.done_reason) == (100, "length")

    def test_no_answer_is_longer_than_the_context(self):
        answer = answers.compose("word " * 200_000, None, (), None)
        assert (answer.tokens, answer.done_reason) == (CONTEXT_LENGTH, "length")

    @settings(max_examples=20)
    @given(_nested_schemas)
    def test_no_schema_gets_more_than_a_bounded_answer(self, schema):
        answer = answers.compose("T", schema, (), None)
        json.loads(answer.text)
        assert len(answer.text) < 2 * answers.MOST_CHARACTERS

    @pytest.mark.parametrize("schema", [*_greedy_schemas()])
    def test_an_answer_is_bounded_as_a_whole_and_says_that_it_is_cut(self, schema):
        started = time.process_time()
        answer = answers.compose("T", schema, (), None)
        assert len(answer.text) < 2 * answers.MOST_CHARACTERS
        assert json.loads(answer.text)["text"] == "T"
        assert answer.done_reason == "length"
        assert time.process_time() - started < 5  # a hundredth of what arrays of arrays took without a bound

    def test_a_schema_of_a_thousand_levels_is_refused(self):
        schema = {"type": "string"}
        for _ in range(5000):
            schema = {"type": "array", "items": schema, "minItems": 1}
        with pytest.raises(FormatError, match="nested too deeply"):
            answers.compose("T", schema, (), None)

    @pytest.mark.parametrize("seconds", [-1, 0, 1e-12])
    def test_a_duration_is_at_least_a_nanosecond(self, seconds):
        assert answers.duration_ns(seconds) == 1


class TestPages:
    @given(st.binary(max_size=200))
    def test_random_bytes_are_no_image(self, data):
        with pytest.raises(ImageError):
            inspect(data)

    @pytest.mark.parametrize("degrees", [-7, -3, -1, 1, 3, 7])
    def test_a_page_is_straightened_to_half_a_degree(self, page, degrees):
        grey = page.convert("L")
        askew = grey.rotate(degrees, expand=True, fillcolor=255, resample=Image.Resampling.BICUBIC)
        back = straighten(askew)
        assert back.size != askew.size
        assert straighten(back) is back

    def test_a_level_page_is_left_as_it_is(self, page):
        grey = page.convert("L")
        assert straighten(grey) is grey

    @pytest.mark.parametrize("shade", [0, 128, 255])
    def test_a_blank_page_is_left_as_it_is(self, shade):
        blank = Image.new("L", (600, 800), shade)
        assert straighten(blank) is blank

    @pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (2, 2)])
    def test_the_smallest_images_are_left_as_they_are(self, size):
        image = Image.new("L", size)
        assert straighten(image) is image

    def test_text_is_tidied(self):
        assert tidy(" a \nb\n \n\n\nc\f\n") == "a\nb\n\nc"


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
