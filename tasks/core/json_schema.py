"""JSON Schemas that answers follow, as people pass them: read, bounded and checked. Nothing is ever fetched for one."""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tasks.core.errors import InputError
from tasks.core.schema_check import SchemaChecker, TooComplexError, compile_pattern, shortened
from tasks.core.strict_json import depth_of, parse_json

LARGEST_BYTES = 65_536
"""Largest schema, bytes; it is part of each page's prompt."""
DEEPEST = 32
"""Most objects and lists within each other in a schema."""
MOST_PATTERNS = 32
"""Most patterns in a schema; one takes up to 0.3 s to compile."""
DIALECT = "https://json-schema.org/draft/2020-12/schema"
_REFUSED = {
    "$dynamicRef": "engines do not follow it; use $ref",
    "patternProperties": "engines do not follow it; name the properties",
}
_SIMPLE: tuple[object, ...] = (None, True, 0, "", [], {})


def schema_text(source: object) -> str:
    """Return a schema as compact JSON, with its names in their order: engines write an answer's names in that order.

    Args:
        source: the schema as text, or as an object.

    Raises:
        ValueError: it is not a usable schema; the message says why, as a clause.
    """
    schema = _parsed(source)
    _check(schema)
    return json.dumps(schema, ensure_ascii=False, separators=(",", ":"))


def schema_digest(text: str) -> str:
    """Return the sha256 of a schema, 64 hex digits: the same however its text is spaced and its names are ordered."""
    canonical = json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def read_schema(path: Path) -> str:
    """Return the schema in a file; see `schema_text`.

    Raises:
        InputError: it cannot be read, or is not a usable schema.
    """
    try:
        with path.open("rb") as file:
            return schema_text(file.read(LARGEST_BYTES + 1).decode())
    except OSError as error:
        raise InputError(f"The schema {path} cannot be read: {error.strerror}. Name another file.") from None
    except UnicodeDecodeError:
        raise InputError(f"The schema {path} is not UTF-8. Encode it as UTF-8.") from None
    except ValueError as error:
        raise InputError(f"The schema {path} cannot be used: {error}.") from None


def checker_of(text: str) -> SchemaChecker:
    """Return what checks values against a schema that `schema_text` returned."""
    schema = json.loads(text)
    names = {name for part in _subschemas(schema) for name in part.get("properties", ())}
    return SchemaChecker(schema, frozenset(names))


def _parsed(source: object) -> dict[str, Any]:
    if not isinstance(source, str):
        try:
            source = json.dumps(source, ensure_ascii=False)
        except (TypeError, RecursionError):
            raise ValueError("it is not JSON") from None
    if len(source.encode(errors="replace")) > LARGEST_BYTES:
        raise ValueError(f"it is larger than {LARGEST_BYTES // 1024} kB, the limit")
    schema = parse_json(source.removeprefix("\ufeff"))
    if not isinstance(schema, dict):
        raise ValueError('it is not an object, such as {"type": "object", "properties": {...}}')  # noqa: TRY004 - pydantic reports ValueErrors
    if depth_of(schema) > DEEPEST:
        raise ValueError(f"it is nested more than {DEEPEST} levels deep")
    return schema


def _check(schema: dict[str, Any]) -> None:
    """Check that a schema is valid, and that values can be checked against it.

    Raises:
        ValueError: it is not.
    """
    from jsonschema import Draft202012Validator, FormatChecker
    from jsonschema.exceptions import SchemaError

    dialect = schema.get("$schema", DIALECT)
    if not isinstance(dialect, str) or dialect.rstrip("#") != DIALECT:
        raise ValueError(f"its $schema is {shortened(dialect)}; write it for draft 2020-12, {DIALECT}")

    def check(part: dict[str, Any]) -> None:
        try:
            # No formats: patterns are compiled below, by the engine that checks answers.
            Draft202012Validator.check_schema(part, format_checker=FormatChecker(formats=()))
        except SchemaError as error:
            raise ValueError(
                f"it is no JSON Schema: {error.json_path} may not be {shortened(error.instance)}"
            ) from None

    check(schema)
    patterns: list[str] = []
    for part in _subschemas(schema, check):
        for keyword, why in _REFUSED.items():
            if keyword in part:
                raise ValueError(f"it uses {keyword}: {why}")
        for keyword in ("$id", "$schema"):
            if keyword in part and part is not schema:
                raise ValueError(f"a part of it has {keyword}; only the whole schema may have it")
        patterns += [part["pattern"]] if "pattern" in part else []
    if len(patterns) > MOST_PATTERNS:
        raise ValueError(f"it has {len(patterns)} patterns; the limit is {MOST_PATTERNS}")
    for pattern in patterns:
        compile_pattern(pattern)
    checker = SchemaChecker(schema)
    try:
        for value in _SIMPLE:
            checker.problems(value)
    except TooComplexError:
        raise ValueError("it refers to itself without end, or so often that no answer could be checked") from None


def _subschemas(
    schema: dict[str, Any], check: Callable[[dict[str, Any]], None] = lambda _: None
) -> Iterator[dict[str, Any]]:
    """Yield a schema and all that lie in it, or that its references lead to, which may be anywhere in it.

    Args:
        schema: the whole.
        check: called with what references lead to.

    Raises:
        ValueError: a reference leads out of the schema, or to nothing in it.
    """
    from referencing import Registry, Resource
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    whole: Resource[Any] = DRAFT202012.create_resource(schema)
    resolver = Registry().with_resource("", whole).resolver()
    left, seen = [schema], {id(schema)}
    while left:
        part = left.pop()
        yield part
        inner = [resource.contents for resource in DRAFT202012.create_resource(part).subresources()]
        if isinstance(reference := part.get("$ref"), str):
            if not reference.startswith("#"):
                raise ValueError(f"it refers to {shortened(reference)}; only references within it (#/...) are followed")
            try:
                target = resolver.lookup(reference).contents
            except Unresolvable:
                raise ValueError(f"it refers to {shortened(reference)}, which is not in it") from None
            if not isinstance(target, dict | bool):
                raise ValueError(f"it refers to {shortened(reference)}, which is no schema")  # noqa: TRY004 - as above
            if isinstance(target, dict) and id(target) not in seen:
                check(target)
            inner.append(target)
        for found in inner:
            if isinstance(found, dict) and id(found) not in seen:
                seen.add(id(found))
                left.append(found)
