"""Answers: a page's text in the requested format, cut and tokenized."""

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
"""The answer to a request without an image."""

TEXT_PROPERTIES = ("text", "markdown", "natural_text", "content")
"""Names of JSON schema properties for the page's text, the likeliest first."""

MOST_ITEMS = 100
"""Maximum length of an array, whatever the schema demands."""

MOST_CHARACTERS = 50_000
"""Maximum JSON in total, beside the page's text: arrays may be nested."""

LEAST_CONFIDENCE = 0.001
"""Lowest probability that is sent."""

_TOKEN = re.compile(r"\s*(?:\w{1,6}|[^\w\s])|\s+")
Schema: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer and the reason of its end."""

    text: str
    tokens: int
    done_reason: str
    """"stop", or "length" if a limit on tokens or on a schema's size cut it off."""


def tokenize(text: str) -> list[str]:
    """Split a text into tokens that join to the same text.

    A token is up to six letters or digits, or one other character, with the white space before it: about
    1.4 tokens per English word, as with a real vocabulary.
    """
    return _TOKEN.findall(text)


def count_tokens(text: str) -> int:
    """Count the tokens without holding those of a hundred megabytes in memory."""
    return sum(1 for _ in _TOKEN.finditer(text))


def token_ids(text: str) -> list[int]:
    """Return a number for each token, equal for equal tokens; there is no vocabulary."""
    return [zlib.crc32(token.encode(errors="replace")) & 0xFFFF for token in tokenize(text)]


def logprobs(text: str, alternatives: int, confidence: float | None) -> list[dict[str, object]]:
    """Return the tokens in the form of `logprobs`, each with the confidence of its page; none if it is not known."""
    if confidence is None:
        return []
    logprob = round(math.log(max(confidence, LEAST_CONFIDENCE)), 6)
    listed: list[dict[str, object]] = []
    for token in tokenize(text):
        one = {"token": token, "logprob": logprob, "bytes": list(token.encode(errors="replace"))}
        listed.append(one | {"top_logprobs": [one]} if alternatives else one)
    return listed


def compose(text: str, template: object, stop: Sequence[str], limit: int | None) -> Answer:
    """Return a page's text in the requested format (None, "json" or a JSON schema), cut at its limits.

    It ends before the first occurrence of a text of `stop`, and after `limit` tokens or those that the context holds.

    Raises:
        FormatError: If the format is invalid.
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
    """Return the answer, and whether it meets the format in full."""
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
            pass  # it is not a schema
    quoted = json.dumps(json.dumps(template))
    raise FormatError(f'invalid format: {quoted}; expected "json" or a valid JSON Schema object')


class _Filler:
    """Makes the plainest values that the common kinds of schema allow, within the limits."""

    def __init__(self, root: Schema) -> None:
        """Fill `root`, which references refer to."""
        self._root = root
        self._left = MOST_CHARACTERS
        self.whole = True
        """Whether the value meets the schema in full."""

    def filled(self, text: str) -> object:
        """Return the value, with the page's text in the property for it."""
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
        """Return a value, or None if the limit is reached. A reference that was seen before means recursion."""
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
        least = schema.get("minItems", 0)
        while len(value) < min(least, MOST_ITEMS) and self._spend([]) is not None:
            value.append(self._example(schema.get("items", {}), seen))
        self.whole = self.whole and len(value) >= least
        return value

    def _spend(self, value: Any) -> Any:  # noqa: ANN401  any JSON value
        """Count a value against the limit, and return it; None if it exceeds the limit."""
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
    """Return the types that a schema allows, including those of its alternatives."""
    if "type" in schema:
        declared = schema["type"]
        return declared if isinstance(declared, list) else [declared]
    if "properties" in schema:
        return ["object"]
    alternatives = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    return [each["type"] for each in alternatives if isinstance(each.get("type"), str)] or ["null"]


def duration_ns(seconds: float) -> int:
    """Return whole nanoseconds, at least one: Ollama omits zero durations."""
    return max(1, math.floor(seconds * 1e9))
