"""JSON Schemas as people pass them: what is read, what is refused with why, and what counts as the same."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.errors import InputError
from tasks.core.json_schema import DEEPEST, DIALECT, LARGEST_BYTES, read_schema, schema_digest, schema_text

INVOICE: dict[str, Any] = {
    "$schema": DIALECT,
    "type": "object",
    "properties": {
        "total": {"type": "number"},
        "date": {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/line"}},
    },
    "required": ["total"],
    "$defs": {"line": {"type": "object", "properties": {"text": {"type": "string"}}}},
}


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels - 1):
        schema = {"items": schema}
    return schema


def doubling(levels: int) -> dict[str, Any]:
    """A schema whose check doubles with each level."""
    parts = {f"a{at}": {"allOf": [{"$ref": f"#/$defs/a{at + 1}"}] * 2} for at in range(levels)}
    return {"$defs": parts | {f"a{levels}": {}}, "$ref": "#/$defs/a0"}


def test_a_schema_keeps_the_order_of_its_names():
    """In which engines write an answer."""
    assert schema_text('{"properties": {"z": {}, "a": {}},\n "type": "object"}') == (
        '{"properties":{"z":{},"a":{}},"type":"object"}'
    )


def test_text_and_object_are_the_same_schema():
    assert schema_text(INVOICE) == schema_text(json.dumps(INVOICE, indent=4)) == schema_text(schema_text(INVOICE))


def test_a_schema_that_differs_in_order_alone_has_the_same_digest():
    assert schema_digest('{"a":1,"b":{"c":2,"d":3}}') == schema_digest('{"b":{"d":3,"c":2},"a":1}')
    assert schema_digest('{"a":1}') != schema_digest('{"a":2}')


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ("{", "it is not JSON: .* at line 1, column 2"),
        ("[]", "it is not an object"),
        ("true", "it is not an object"),
        ('{"type": "string", "type": "object"}', "an object has the same name twice"),
        ('{"const": NaN}', "NaN is not a number of JSON"),
        ('{"maximum": 1e999}', "a number is too large"),
        ('{"const": "\\ud800"}', "holds half of a character"),
        ({"const": {1, 2}}, "it is not JSON"),
        ({"type": "strin"}, r'it is no JSON Schema: \$\.type may not be "strin"'),
        ({"properties": {"a": {"minimum": "1"}}}, r'\$\.properties\.a\.minimum may not be "1"'),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "write it for draft 2020-12"),
        ({"$defs": {"a": {"$id": "https://example.com/a"}}}, "a part of it has \\$id"),
        ({"$dynamicRef": "#a"}, "it uses \\$dynamicRef"),
        ({"patternProperties": {"^a": {}}}, "it uses patternProperties"),
        ({"pattern": "(?=a)b"}, 'the pattern "\\(\\?=a\\)b" cannot be checked'),
        ({"pattern": "(a)\\1"}, "cannot be checked"),
        ({"pattern": "\\w{1000}"}, "cannot be checked"),
        ({"anyOf": [{"pattern": f"^{at}$"} for at in range(33)]}, "it has 33 patterns; the limit is 32"),
        (nested(DEEPEST + 1), "nested more than 32 levels deep"),
        (f'{{"enum": {"[" * 30_000}{"]" * 30_000}}}', "nested (too deeply|more than 32 levels deep)"),
        ({"description": "a" * LARGEST_BYTES}, "larger than 64 kB"),
        ({"$ref": "#"}, "refers to itself without end"),
        (doubling(30), "refers to itself without end, or so often"),
    ],
)
def test_what_is_no_usable_schema_is_refused_with_why(schema: Any, why: str):
    with pytest.raises(ValueError, match=why):
        schema_text(schema)


@pytest.mark.parametrize(
    "reference", ["https://example.com/a.json", "http://127.0.0.1:9/a", "file:///etc/passwd", "a.json", "//host/a"]
)
@pytest.mark.parametrize(
    "wrap",
    [
        lambda ref: ref,
        lambda ref: {"properties": {"a": {"items": ref}}},
        lambda ref: {"$ref": "#/x/y", "x": {"y": ref}},
        lambda ref: {"$id": "https://example.com/", "allOf": [ref]},
    ],
    ids=["whole", "part", "beside", "with a base"],
)
def test_a_reference_that_leads_elsewhere_is_refused_and_never_followed(
    reference: str, wrap: Any, monkeypatch: pytest.MonkeyPatch
):
    def connect(*_: object) -> None:
        raise AssertionError("it was followed")

    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(ValueError, match="only references within it"):
        schema_text(wrap({"$ref": reference}))


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"$ref": "#/$defs/a"}, "which is not in it"),
        ({"$ref": "#a"}, "which is not in it"),
        ({"$ref": "#/enum/0", "enum": [5]}, "which is no schema"),
        ({"$ref": "#/enum/0", "enum": [{"type": "strin"}]}, "it is no JSON Schema"),
    ],
)
def test_a_reference_to_what_is_no_schema_is_refused(schema: Any, why: str):
    with pytest.raises(ValueError, match=why):
        schema_text(schema)


@pytest.mark.parametrize(
    "schema",
    [
        INVOICE,
        {},
        nested(DEEPEST),
        {"properties": {"$ref": {"type": "string"}, "pattern": {"const": 1}}},
        {"enum": [{"$ref": "https://example.com/a"}]},
        {"$ref": "#a", "$defs": {"one": {"$anchor": "a", "type": "null"}}},
        {"properties": {"inner": {"$ref": "#"}}},
    ],
    ids=["invoice", "anything", "as deep as may be", "names like keywords", "a value", "an anchor", "recursive"],
)
def test_a_usable_schema_is_taken_as_it_is(schema: dict[str, Any]):
    assert json.loads(schema_text(schema)) == schema


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["$ref", "type", "items"]), inner),
    max_leaves=12,
)


@given(st.text() | JSON | JSON.map(repr))
def test_whatever_is_passed_is_a_schema_or_is_refused(source: Any):
    try:
        text = schema_text(source)
    except ValueError:
        return
    assert schema_text(text) == text


def test_a_file_is_read(tmp_path: Path):
    path = tmp_path / "invoice.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(INVOICE).encode())
    assert read_schema(path) == schema_text(INVOICE)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "cannot be read: No such file or directory. Name another file."),
        (b"\xff\xfe", "is not UTF-8"),
        (b"{", "cannot be used: it is not JSON"),
        (b" " * (LARGEST_BYTES + 1), "cannot be used: it is larger than 64 kB"),
    ],
)
def test_a_file_that_is_no_schema_is_named(tmp_path: Path, content: bytes | None, why: str):
    path = tmp_path / "invoice.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=why) as raised:
        read_schema(path)
    assert str(path) in str(raised.value)
