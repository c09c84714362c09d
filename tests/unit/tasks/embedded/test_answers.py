"""Answers of the embedded server, with whatever inputs can be made up."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.embedded import answers
from tasks.embedded.errors import FormatError
from tasks.embedded.models import CONTEXT_LENGTH

texts = st.text(st.characters(exclude_categories=("Cs",)))


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
