"""Values checked against a stranger's JSON Schema, in bounded time and without fetching anything.

The messages name the schema's own words alone: a value may be text of a page, which no log may hold.
"""

import json
from collections.abc import Iterator
from functools import cache
from itertools import islice
from typing import Any

from pydantic_core import SchemaError, SchemaValidator, core_schema

_MOST_PROBLEMS = 5
_MOST_REFERENCES = 10_000
"""References that are followed for one value: a schema can double its work with each."""
_LONGEST_SHOWN = 80


class TooComplexError(Exception):
    """The schema refers to itself without end, or takes too long to check a value against."""


def compile_pattern(pattern: str) -> SchemaValidator:
    """Return a validator of texts in which a pattern occurs, in time that is linear in the text.

    Python's own engine may take exponential time for a stranger's pattern.

    Raises:
        ValueError: it is no pattern, or it uses look-around or back-references, which take such time.
    """
    try:
        return SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex"))
    except SchemaError:
        raise ValueError(
            f"the pattern {shortened(pattern)} cannot be checked; use a shorter one, without look-around and "
            "back-references"
        ) from None


class SchemaChecker:
    """Checks values against one schema.

    Args:
        schema: of draft 2020-12; see `tasks.core.json_schema`.
        names: of properties that messages may show: the schema's own.
    """

    def __init__(self, schema: dict[str, Any], names: frozenset[str] = frozenset()) -> None:
        # jsonschema is imported where a schema is used: it takes longer than the rest of a command's start.
        from jsonschema import Draft202012Validator, ValidationError, validators
        from referencing import Registry

        self._names = names
        self._references = 0
        compiled = cache(compile_pattern)
        follow = Draft202012Validator.VALIDATORS["$ref"]

        def pattern(validator: Any, pattern: str, value: object, _: object) -> Iterator[Any]:  # noqa: ANN401 - jsonschema's
            if validator.is_type(value, "string") and not compiled(pattern).isinstance_python(value):
                yield ValidationError("")

        def reference(validator: Any, reference: str, value: object, schema: object) -> Iterator[Any]:  # noqa: ANN401
            self._references += 1
            if self._references > _MOST_REFERENCES:
                raise TooComplexError
            yield from follow(validator, reference, value, schema)

        kind = validators.extend(Draft202012Validator, {"pattern": pattern, "$ref": reference})
        # With its $schema, jsonschema would go on with its own kind of validator, without these two.
        own = {keyword: value for keyword, value in schema.items() if keyword != "$schema"}
        self._validator = kind(own, registry=Registry())  # the default one fetches

    def problems(self, value: object) -> list[str]:
        """Return why a value does not follow the schema, the first few reasons; none if it does.

        Raises:
            TooComplexError: it cannot be told.
        """
        self._references = 0
        try:
            found = [self._problem(error) for error in islice(self._validator.iter_errors(value), _MOST_PROBLEMS)]
        except RecursionError:
            raise TooComplexError from None
        return list(dict.fromkeys(found))

    def _problem(self, error: Any) -> str:  # noqa: ANN401 - jsonschema's
        place = "$" + "".join(map(self._step, error.absolute_path))
        keyword, bound = error.validator, error.validator_value
        if keyword == "type":
            kinds = bound if isinstance(bound, list) else [bound]
            return f"{place} is not of type {' or '.join(kinds)}"
        if keyword == "required":
            missing = [shortened(name) for name in bound if name not in error.instance]
            return f"{place} lacks {', '.join(missing)}"
        if keyword in {"additionalProperties", "unevaluatedProperties"}:
            return f"{place} has a name that the schema does not permit"
        if keyword is None:
            return f"{place} is not permitted"
        return f"{place} does not meet {keyword} {shortened(bound)}"

    def _step(self, step: str | int) -> str:
        if isinstance(step, int):
            return f"[{step}]"
        return f".{step}" if step in self._names else ".*"


def shortened(value: object) -> str:
    """Return a value of a schema as JSON, shortened for a message."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 3]}..."
