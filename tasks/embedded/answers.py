"""From the text of a page to the answer that a request asked for."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from tasks.embedded.errors import FormatError

NO_IMAGE = "This model reads page images. Send one in `images`."
"""The answer to a request without an image: there is nothing else that the model could say."""

TEXT_PROPERTIES = ("text", "markdown", "natural_text", "content")
"""Properties of a JSON schema that hold the page's text, the likeliest first."""

MOST_ITEMS = 100
"""No schema is filled with longer arrays, whatever it demands."""

_TOKEN = re.compile(r"\s*(?:\w{1,6}|[^\w\s])|\s+")
Schema: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back, and why it ends where it ends."""

    text: str
    tokens: int
    done_reason: str
    """"stop", or "length" when the limit on tokens cut it off."""


def tokenize(text: str) -> list[str]:
    """Split into pieces that join to the same text again.

    A token is up to six letters or digits, or one other sign, with the white space before it: a
    stand-in for a vocabulary that comes to about 1.4 tokens an English word.
    """
    return _TOKEN.findall(text)


def compose(text: str, template: object, stop: Sequence[str], limit: int | None) -> Answer:
    """Bring a page's text into the format asked for and cut it where it was to end.

    Args:
        text: The text as it was read.
        template: The request's `format`: None, "json" or a JSON schema.
        stop: Texts before the first of which the answer ends.
        limit: Most tokens, or None.

    Raises:
        FormatError: If the format is another value.
    """
    answer = _formatted(text, template)
    ends = [position for word in stop if word and (position := answer.find(word)) >= 0]
    if ends:
        answer = answer[: min(ends)]
    tokens = tokenize(answer)
    if limit is not None and len(tokens) > limit:
        return Answer("".join(tokens[:limit]), limit, "length")
    return Answer(answer, len(tokens), "stop")


def _formatted(text: str, template: object) -> str:
    if template in (None, ""):
        return text
    if template == "json":
        return json.dumps({"text": text}, ensure_ascii=False)
    if isinstance(template, dict):
        try:
            return json.dumps(_filled(template, text), ensure_ascii=False)
        except (AttributeError, LookupError, TypeError):
            pass  # a schema only in its braces
    quoted = json.dumps(json.dumps(template))
    raise FormatError(f'invalid format: {quoted}; expected "json" or a valid JSON Schema object')


def _filled(schema: Schema, text: str) -> object:
    value = _example(schema, schema, frozenset())
    name = _text_property(schema)
    if isinstance(value, dict) and name:
        return {**value, name: text}
    return text if isinstance(value, str) else value


def _text_property(schema: Schema) -> str | None:
    properties = _resolved(schema, schema).get("properties", {})
    strings = [name for name, each in properties.items() if "string" in _types(_resolved(each, schema))]
    return next((name for name in (*TEXT_PROPERTIES, *strings) if name in strings), None)


def _example(schema: Schema, root: Schema, seen: frozenset[str]) -> Any:  # noqa: ANN401  any JSON value
    """Give a value valid for the common kinds of schema, as plain as the schema allows.

    Args:
        schema: A part of the schema.
        root: The whole, which references refer to.
        seen: The references that led here: one met again stands for a schema that contains itself.
    """
    if (reference := schema.get("$ref")) in seen:
        return None
    seen |= {reference} if reference else set()
    schema = _resolved(schema, root)
    alternatives = schema.get("anyOf") or schema.get("oneOf")
    if "const" in schema or "default" in schema:
        value = schema.get("const", schema.get("default"))
    elif schema.get("enum"):
        value = schema["enum"][0]
    elif alternatives:
        value = _example(alternatives[0], root, seen)
    else:
        value = _plain(_types(schema)[0], schema, root, seen)
    return value


def _plain(kind: str, schema: Schema, root: Schema, seen: frozenset[str]) -> Any:  # noqa: ANN401  any JSON value
    if kind == "object":
        return {name: _example(each, root, seen) for name, each in schema.get("properties", {}).items()}
    if kind == "array":
        return [_example(schema.get("items", {}), root, seen)] * min(schema.get("minItems", 0), MOST_ITEMS)
    if kind in {"integer", "number"}:
        return max(min(0, schema.get("maximum", 0)), schema.get("minimum", -math.inf))
    return {"boolean": False, "string": ""}.get(kind)


def _types(schema: Schema) -> list[str]:
    """The types that a schema allows, those of its alternatives included."""
    if "type" in schema:
        declared = schema["type"]
        return declared if isinstance(declared, list) else [declared]
    if "properties" in schema:
        return ["object"]
    alternatives = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    return [each["type"] for each in alternatives if isinstance(each.get("type"), str)] or ["null"]


def _resolved(schema: Schema, root: Schema) -> Schema:
    """Follow a `#/...` reference inside the schema, one step."""
    reference = schema.get("$ref")
    if reference is None:
        return schema
    target: Any = root
    for part in reference.removeprefix("#").strip("/").split("/"):
        target = target[part] if part else target
    return cast("Schema", target)


def duration_ns(seconds: float) -> int:
    """Whole nanoseconds, at least one: Ollama leaves durations of nothing out of its answers."""
    return max(1, math.floor(seconds * 1e9))
