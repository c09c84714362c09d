"""Values against a stranger's schema: what is wrong with them, without their text, and in bounded time."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.core.json_schema import checker_of, schema_text
from tasks.core.schema_check import TooComplexError

SECRET = "the page's own words"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "total": {"type": ["number", "null"]},
        "kind": {"enum": ["invoice", "letter"]},
        "date": {"type": "string", "pattern": "^[0-9]{4}$"},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/line"}, "maxItems": 3},
        "others": {"type": "object", "additionalProperties": {"type": "number"}},
        "closed": {"type": "object", "additionalProperties": False},
    },
    "required": ["total"],
    "$defs": {"line": {"type": "object", "required": ["text", "price"]}},
}


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"total": SECRET}, "$.total is not of type number or null"),
        ([SECRET], "$ is not of type object"),
        ({}, '$ lacks "total"'),
        ({"total": 1, "lines": [{}, {"text": SECRET}]}, '$.lines[1] lacks "price"'),
        ({"total": 1, "kind": SECRET}, '$.kind does not meet enum ["invoice", "letter"]'),
        ({"total": 1, "date": SECRET}, '$.date does not meet pattern "^[0-9]{4}$"'),
        ({"total": 1, "lines": [SECRET] * 4}, "$.lines does not meet maxItems 3"),
        ({"total": 1, "others": {SECRET: SECRET}}, "$.others.* is not of type number"),
        ({"total": 1, "closed": {SECRET: 1}}, "$.closed has a name that the schema does not permit"),
    ],
)
def test_a_problem_names_its_place_and_what_is_asked_for_but_nothing_of_the_page(value: Any, problem: str):
    problems = checker_of(schema_text(SCHEMA)).problems(value)
    assert problem in problems
    assert SECRET not in " ".join(problems)


def test_a_value_that_follows_the_schema_has_no_problem():
    value = {"total": None, "kind": "letter", "date": "2026", "lines": [{"text": "a", "price": 1, "more": 2}]}
    assert checker_of(schema_text(SCHEMA)).problems(value) == []


def test_problems_and_what_they_quote_are_few_and_short():
    schema = {"items": {"enum": [f"choice {at}" for at in range(1000)]}}
    problems = checker_of(schema_text(schema)).problems(list(range(1000)))
    assert len(problems) == 5
    assert max(map(len, problems)) < 150


def test_a_pattern_that_would_take_exponential_time_takes_none():
    checker = checker_of(schema_text({"pattern": "^(a+)+$"}))
    assert checker.problems("a" * 100_000 + "!") == ['$ does not meet pattern "^(a+)+$"']


def test_patterns_and_references_are_bounded_below_a_schema_that_names_its_draft():
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "properties": {"inner": {"$ref": "#"}, "text": {"pattern": "^(a+)+$"}},
    }
    value = {"inner": {"inner": {"text": "a" * 100_000 + "!"}}}
    assert checker_of(schema_text(schema)).problems(value) == ['$.inner.inner.text does not meet pattern "^(a+)+$"']


def test_a_value_whose_check_doubles_with_each_level_is_given_up():
    inner = {"type": "object", "properties": {"a": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}}}
    value: dict[str, Any] = {}
    for _ in range(40):
        value = {"a": value}
    with pytest.raises(TooComplexError):
        checker_of(schema_text(inner)).problems(value)


def test_a_value_that_is_nested_too_deeply_is_given_up():
    value: list[Any] = []
    for _ in range(900):
        value = [value]
    with pytest.raises(TooComplexError):
        checker_of(schema_text({"items": {"$ref": "#"}})).problems(value)
