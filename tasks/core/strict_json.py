"""JSON that is read strictly: what Python would silently change is an error."""

import json
from typing import Any


def parse_json(text: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return a JSON value in which nothing is lost and that can be stored.

    Raises:
        ValueError: it is not JSON, an object has a name twice, a number exceeds a float's range, or a text holds half
            of a character; the message says which, as a clause.
    """
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_number, parse_float=_finite)
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if "\\u" in text:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except (UnicodeEncodeError, RecursionError):
            raise ValueError("a text in it holds half of a character (a lone surrogate)") from None
    return value


def depth_of(value: object) -> int:
    """Return how many objects and lists lie within each other in a JSON value; 0 for a plain one."""
    depth, level = 0, [value]
    while containers := [each for each in level if isinstance(each, dict | list)]:
        depth += 1
        level = [child for each in containers for child in (each.values() if isinstance(each, dict) else each)]
    return depth


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has the same name twice")
    return found


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is not a number of JSON")


def _finite(text: str) -> float:
    number = float(text)
    if number in {float("inf"), float("-inf")}:
        raise ValueError("a number is too large")
    return number
