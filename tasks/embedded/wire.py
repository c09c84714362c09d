"""Decoding of requests as Ollama's Go types accept them.

A value of the wrong type or form raises a BadRequestError, and in `options` an OptionError, with Ollama's message.
"""

import binascii
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tasks.embedded.errors import BadRequestError, OptionError
from tasks.embedded.fields import TYPES

LOAD_INTEGERS = ("num_ctx", "num_batch", "num_gpu", "main_gpu", "num_thread")
INTEGER_OPTIONS = frozenset((*LOAD_INTEGERS, "num_keep", "seed", "num_predict", "top_k", "repeat_last_n"))
FLOAT_OPTIONS = frozenset(
    ("top_p", "min_p", "typical_p", "temperature", "repeat_penalty", "presence_penalty", "frequency_penalty")
)
LOAD_DEFAULTS: Mapping[str, object] = {
    "num_ctx": 4096,
    "num_batch": 512,
    "num_gpu": -1,
    "main_gpu": 0,
    "use_mmap": None,
    "num_thread": 0,
}
"""Options with which a model is loaded: a request with other values reloads it."""

SMALLEST_CONTEXT = 4

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")


@dataclass(frozen=True, slots=True)
class Options:
    """The options that have an effect here; all others are accepted and ignored."""

    load: Mapping[str, object]
    """The options of LOAD_DEFAULTS, and whether the context may shift."""
    num_ctx: int
    num_predict: int | None
    """Maximum tokens of the answer; None for no limit."""
    stop: tuple[str, ...]


def parse_body(body: bytes, fields: Mapping[str, str], struct: str) -> dict[str, Any]:
    """Decode a JSON object and check the types of its fields, which `fields.TYPES` lists; null counts as absent.

    Unknown fields are ignored. Ollama's error messages name the Go type `struct`.
    """
    text = body.decode("utf-8", errors="replace").lstrip(" \t\r\n")
    if not text:
        raise BadRequestError("missing request body")
    try:
        value, _ = json.JSONDecoder().raw_decode(text)
    except json.JSONDecodeError as error:
        raise BadRequestError(_syntax_error(text, error)) from None
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits; absurd nesting
        raise BadRequestError(f"json: {error}") from None
    return check_fields(value, fields, struct)


def check_fields(value: object, fields: Mapping[str, str], struct: str) -> dict[str, Any]:
    """Check a decoded object as `parse_body` does; null counts as an empty object."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadRequestError(f"json: cannot unmarshal {_kind(value)} into Go value of type api.{struct}")
    present = {name: each for name, each in value.items() if each is not None}
    for name, field in present.items():
        accepted, go_type = TYPES[fields.get(name, "any")]
        if not _is_a(field, accepted):
            raise BadRequestError(
                f"json: cannot unmarshal {_kind(field)} into Go struct field {struct}.{name} of type {go_type}"
            )
    return present


def _is_a(value: object, accepted: type | tuple[type, ...]) -> bool:
    """Return whether Go accepts the value: unlike in Python, true is not a number."""
    return isinstance(value, accepted) and not (isinstance(value, bool) and accepted in {int, (int, float)})


def parse_images(values: list[object], struct: str = "GenerateRequest") -> list[bytes]:
    """Decode base64 images as strictly as Go does. `struct` is the Go type that has the field `images`."""
    images = []
    for value in values:
        if not isinstance(value, str):
            raise BadRequestError(
                f"json: cannot unmarshal {_kind(value)} into Go struct field {struct}.images of type api.ImageData"
            )
        text = value.replace("\r", "").replace("\n", "")
        try:
            images.append(binascii.a2b_base64(text, strict_mode=True))
        except ValueError:  # binascii.Error, and characters outside ASCII
            wrong = re.search(r"[^A-Za-z0-9+/]", value)
            position = wrong.start() if wrong else len(value)
            raise BadRequestError(f"illegal base64 data at input byte {position}") from None
    return images


def parse_duration(text: str) -> float:
    """Return the seconds of a Go duration such as "5m", "1h30m" or "-1s"."""
    sign, digits = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    if digits == "0":
        return 0.0
    if not digits:
        raise BadRequestError(f'time: invalid duration "{text}"')
    seconds, position = 0.0, 0
    while position < len(digits):
        part = _DURATION_PART.match(digits, position)
        if part is None:
            missing = re.fullmatch(r"[\d.]*\d[\d.]*", digits[position:])
            problem = "missing unit in" if missing else "invalid"
            raise BadRequestError(f'time: {problem} duration "{text}"')
        seconds += float(part[1]) * _UNITS[part[2]]
        position = part.end()
    return sign * seconds


def parse_keep_alive(value: object) -> float:
    """Return the seconds that a model stays loaded after its last use: infinite for negative values."""
    if isinstance(value, str):
        seconds = parse_duration(value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    else:
        raise BadRequestError(f"Unsupported type: '{go_type(value)}'")
    return seconds if seconds >= 0 else math.inf


def parse_options(values: Mapping[str, object], *, shift: bool) -> Options:
    """Check the types of the options, and return those that have an effect."""
    options = {name: _option(name, value) for name, value in values.items() if value is not None}
    load = {name: options.get(name, default) for name, default in LOAD_DEFAULTS.items()}
    load |= {"num_ctx": max(load["num_ctx"], SMALLEST_CONTEXT), "num_gpu": max(load["num_gpu"], -1), "shift": shift}
    limit = options.get("num_predict", -1)
    return Options(load, load["num_ctx"], limit if limit > 0 else None, tuple(options.get("stop", ())))


def _option(name: str, value: Any) -> Any:  # noqa: ANN401  JSON values in, JSON values out
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if name in INTEGER_OPTIONS:
        if not number:
            raise OptionError(f'option "{name}" must be of type integer')
        return int(value)
    if name in FLOAT_OPTIONS and not number:
        raise OptionError(f'option "{name}" must be of type float32')
    if name == "use_mmap" and not isinstance(value, bool):
        raise OptionError(f'option "{name}" must be of type boolean')
    if name == "stop":
        if not isinstance(value, list):
            raise OptionError(f'option "{name}" must be of type array')
        if not all(isinstance(each, str) for each in value):
            raise OptionError(f'option "{name}" must be of an array of strings')
    return value


def _kind(value: object) -> str:
    kinds = {bool: "bool", str: "string", int: "number", float: "number", list: "array", dict: "object"}
    return kinds.get(type(value), "null")


def go_type(value: object) -> str:
    """Return the Go type to which a JSON value is decoded."""
    names = {bool: "bool", list: "[]interface {}", dict: "map[string]interface {}", type(None): "<nil>"}
    return names.get(type(value), "float64")


def _syntax_error(text: str, error: json.JSONDecodeError) -> str:
    if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated"):
        return "unexpected EOF"
    places = {
        "Expecting value": "looking for beginning of value",
        "Expecting property name enclosed in double quotes": "looking for beginning of object key string",
        "Expecting ':' delimiter": "after object key",
        "Expecting ',' delimiter": "after object key:value pair or array element",
    }
    return f"invalid character '{text[error.pos]}' {places.get(error.msg, 'in string literal')}"
