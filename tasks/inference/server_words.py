"""The messages of servers' errors, without the JSON around them."""

import json
import re
from collections.abc import Mapping
from typing import Any

_LONGEST = 300
"""Characters of a server's message that are passed on."""
_LARGEST_BODY = 100_000
_DEEPEST = 12
"""Nested objects and texts that are searched: three for each error within an error."""
_WORDS = ("error", "message", "detail", "msg")
"""Keys of an error's text: Ollama's, llama-server's, a proxy's, and FastAPI's for each wrong field."""
_MOST_ENTRIES = 3
"""Entries of a list of errors that are passed on."""
_ERROR_STATUS = re.compile("[45][0-9][0-9]")
# Addresses, process numbers, sizes, times and ports, which vary between equal errors.
_VARIES = re.compile(r"0x[0-9a-f]+|[0-9a-f]{12,}|\d+(?:\.\d+)*")


def server_words(body: str) -> str | None:
    """Return the message of an error's body, without the JSON around it; None if there is none."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    text = _unwrap(value, _DEEPEST) if isinstance(value, dict | list) else ""
    lines = dict.fromkeys(line.strip() for line in text.splitlines())
    return "; ".join(filter(None, lines))[:_LONGEST] or None


def kind_of(words: str) -> str:
    """Return an error's text without the parts that vary between equal errors."""
    return _VARIES.sub("#", words.lower())


def _unwrap(value: object, depth: int) -> str:
    """Return the message in a JSON value, or in a text that contains JSON."""
    if isinstance(value, dict):
        inner = next((value[key] for key in _WORDS if value.get(key)), None)
        return "" if inner is None or not depth else _unwrap(inner, depth - 1)
    if isinstance(value, list):
        return "; ".join(filter(None, (_unwrap(entry, depth - 1) for entry in value[:_MOST_ENTRIES]))) if depth else ""
    if not isinstance(value, str):
        return ""
    text = value.strip()[:_LARGEST_BODY]
    before, brace, rest = text.partition("{")
    if not brace or not depth:
        return text
    try:
        inner, end = json.JSONDecoder().raw_decode(brace + rest)
    except (ValueError, RecursionError):
        return text
    words = _unwrap(inner, depth - 1)
    return f"{before}{words}{(brace + rest)[end:]}" if words else text


def status_of(value: Mapping[str, Any]) -> int | None:
    """Return the HTTP status of an error that was sent under 200, as in the middle of a stream; None for no error.

    Servers put it into `code` (llama-server, vLLM, SGLang). LM Studio sends under 200 that it does not know a path
    (https://github.com/lmstudio-ai/lmstudio-bug-tracker/issues/618).
    """
    error = value.get("error") or (value.get("object") == "error" and value)
    if not error:
        return None
    if isinstance(error, str) and error.startswith("Unexpected endpoint or method"):
        return 404
    code = str(error.get("code")) if isinstance(error, dict) else ""
    return int(code) if _ERROR_STATUS.fullmatch(code) else 500
