"""From the text of a page to the answer that a request asked for."""

import json
import math
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeAlias, cast

from tasks.embedded.errors import FormatError
from tasks.embedded.models import CONTEXT_LENGTH

NO_IMAGE = "This model reads page images. Send one in `images`."
"""The answer to a request without an image: there is nothing else that the model could say."""

TEXT_PROPERTIES = ("text", "markdown", "natural_text", "content")
"""Properties of a JSON schema that hold the page's text, the likeliest first."""

MOST_ITEMS = 100
"""No schema is filled with longer arrays, whatever it demands."""

MOST_CHARACTERS = 50_000
"""Nor with more JSON than this in all, beside the page's text: arrays may lie in arrays."""

_TOKEN = re.compile(r"\s*(?:\w{1,6}|[^\w\s])|\s+")
Schema: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back, and why it ends where it ends."""

    text: str
    tokens: int
    done_reason: str
    """"stop", or "length" when the limit on tokens, or that on what a schema may demand, cut it off."""


def tokenize(text: str) -> list[str]:
    """Split into pieces that join to the same text again.

    A token is up to six letters or digits, or one other sign, with the white space before it: a
    stand-in for a vocabulary that comes to about 1.4 tokens an English word.
    """
    return _TOKEN.findall(text)


def count_tokens(text: str) -> int:
    """Count what `tokenize` gives, without holding a text of a hundred megabytes in pieces."""
    return sum(1 for _ in _TOKEN.finditer(text))


def token_ids(text: str) -> list[int]:
    """Number the tokens, the same number for the same token: no vocabulary stands behind them."""
    return [zlib.crc32(token.encode(errors="replace")) & 0xFFFF for token in tokenize(text)]


def logprobs(text: str, alternatives: int) -> list[dict[str, object]]:
    """List the tokens as `logprobs` has them. The reader decides for each with certainty: 0."""
    listed: list[dict[str, object]] = []
    for token in tokenize(text):
        one = {"token": token, "logprob": 0, "bytes": list(token.encode(errors="replace"))}
        listed.append(one | {"top_logprobs": [one]} if alternatives else one)
    return listed


def compose(text: str, template: object, stop: Sequence[str], limit: int | None) -> Answer:
    """Bring a page's text into the format asked for and cut it where it was to end.

    Args:
        text: The text as it was read.
        template: The request's `format`: None, "json" or a JSON schema.
        stop: Texts before the first of which the answer ends.
        limit: Most tokens, or None for as many as the context holds.

    Raises:
        FormatError: If the format is another value.
    """
    answer, whole = _formatted(text, template)
    ends = [position for word in stop if word and (position := answer.find(word)) >= 0]
    if ends:
        answer, whole = answer[: min(ends)], True
    limit = min(limit or CONTEXT_LENGTH, CONTEXT_LENGTH)
    tokens = list(islice(_TOKEN.finditer(answer), limit + 1))
    if len(tokens) > limit:
        return Answer(answer[: tokens[limit].start()], limit, "length")
    return Answer(answer, len(tokens), "stop" if whole else "length")


def _formatted(text: str, template: object) -> tuple[str, bool]:
    """Give the answer, and whether it is all that the format demands."""
    if template in (None, ""):
        return text, True
    if template == "json":
        return json.dumps({"text": text}, ensure_ascii=False), True
    if isinstance(template, dict):
        filler = _Filler(template)
        try:
            return json.dumps(filler.filled(text), ensure_ascii=False), filler.whole
        except RecursionError:
            raise FormatError("invalid format: the schema is nested too deeply") from None
        except (AttributeError, LookupError, TypeError):
            pass  # a schema only in its braces
    quoted = json.dumps(json.dumps(template))
    raise FormatError(f'invalid format: {quoted}; expected "json" or a valid JSON Schema object')


class _Filler:
    """Gives values valid for the common kinds of schema, as plain as the schema allows, and no more than fits."""

    def __init__(self, root: Schema) -> None:
        """Fill `root`, which references refer to."""
        self._root = root
        self._left = MOST_CHARACTERS
        self.whole = True
        """Whether the schema has got all that it demands."""

    def filled(self, text: str) -> object:
        """The value, with the page's text where the schema has a place for it."""
        value = self._example(self._root, frozenset())
        name = self._text_property()
        if isinstance(value, dict) and name:
            return {**value, name: text}
        return text if isinstance(value, str) else value

    def _text_property(self) -> str | None:
        properties = self._resolved(self._root).get("properties", {})
        strings = [name for name, each in properties.items() if "string" in _types(self._resolved(each))]
        return next((name for name in (*TEXT_PROPERTIES, *strings) if name in strings), None)

    def _example(self, schema: Schema, seen: frozenset[str]) -> Any:  # noqa: ANN401  any JSON value
        """Give a value, or None when nothing is left to spend.

        Args:
            schema: A part of the schema.
            seen: The references that led here: one met again stands for a schema that contains itself.
        """
        if (reference := schema.get("$ref")) in seen:
            return None
        if reference:
            seen |= {reference}
            self._spend(reference)
        schema = self._resolved(schema)
        alternatives = schema.get("anyOf") or schema.get("oneOf")
        if "const" in schema or "default" in schema:
            return self._spend(schema.get("const", schema.get("default")))
        if schema.get("enum"):
            return self._spend(schema["enum"][0])
        if alternatives:
            return self._example(alternatives[0], seen)
        return self._plain(_types(schema)[0], schema, seen)

    def _plain(self, kind: str, schema: Schema, seen: frozenset[str]) -> Any:  # noqa: ANN401  any JSON value
        if kind == "object":
            return self._object(schema, seen)
        if kind == "array":
            return self._array(schema, seen)
        if kind in {"integer", "number"}:
            return self._spend(max(min(0, schema.get("maximum", 0)), schema.get("minimum", -math.inf)))
        return self._spend({"boolean": False, "string": ""}.get(kind))

    def _object(self, schema: Schema, seen: frozenset[str]) -> dict[str, Any]:
        value = {}
        for name, each in schema.get("properties", {}).items():
            if self._spend(name) is None:
                break
            value[name] = self._example(each, seen)
        return value

    def _array(self, schema: Schema, seen: frozenset[str]) -> list[Any]:
        value: list[Any] = []
        wanted = schema.get("minItems", 0)
        while len(value) < min(wanted, MOST_ITEMS) and self._spend([]) is not None:
            value.append(self._example(schema.get("items", {}), seen))
        self.whole = self.whole and len(value) >= wanted
        return value

    def _spend(self, value: Any) -> Any:  # noqa: ANN401  any JSON value
        """Pay for a value; None for one that is too dear."""
        self._left -= len(json.dumps(value))
        self.whole = self.whole and self._left >= 0
        return value if self._left >= 0 else None

    def _resolved(self, schema: Schema) -> Schema:
        """Follow a `#/...` reference inside the schema, one step."""
        reference = schema.get("$ref")
        if reference is None:
            return schema
        target: Any = self._root
        for part in reference.removeprefix("#").strip("/").split("/"):
            target = target[part] if part else target
        return cast("Schema", target)


def _types(schema: Schema) -> list[str]:
    """The types that a schema allows, those of its alternatives included."""
    if "type" in schema:
        declared = schema["type"]
        return declared if isinstance(declared, list) else [declared]
    if "properties" in schema:
        return ["object"]
    alternatives = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    return [each["type"] for each in alternatives if isinstance(each.get("type"), str)] or ["null"]


def duration_ns(seconds: float) -> int:
    """Whole nanoseconds, at least one: Ollama leaves durations of nothing out of its answers."""
    return max(1, math.floor(seconds * 1e9))
