"""The words of a server's errors, taken out of all the JSON around them."""

from __future__ import annotations

import json
import re

_LONGEST = 300
"""Characters of a server's words that are passed on."""
_LARGEST_BODY = 100_000
_DEEPEST = 12
"""Objects and texts inside each other that are looked into: three for each error in an error."""
_WORDS = ("error", "message", "detail")
"""Where an error's text is, in JSON: Ollama's key, llama-server's, a proxy's."""
# An address in memory or of a process, a size, a time, a port: they differ where the error does not.
_VARIES = re.compile(r"0x[0-9a-f]+|[0-9a-f]{12,}|\d+(?:\.\d+)*")


def server_words(body: str) -> str | None:
    """Return the text of an error answer, taken out of all the JSON around it; None if it holds none."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    text = _unwrapped(found, _DEEPEST) if isinstance(found, dict) else ""
    lines = dict.fromkeys(line.strip() for line in text.splitlines())
    return "; ".join(filter(None, lines))[:_LONGEST] or None


def kind_of(words: str) -> str:
    """Return an error's text without what varies from one time to the next, so that equal errors are found equal."""
    return _VARIES.sub("#", words.lower())


def _unwrapped(found: object, depth: int) -> str:
    """The words in a value of JSON, or in a text that holds JSON."""
    if isinstance(found, dict):
        inner = next((found[key] for key in _WORDS if found.get(key)), None)
        return "" if inner is None or not depth else _unwrapped(inner, depth - 1)
    if not isinstance(found, str):
        return ""
    text = found.strip()[:_LARGEST_BODY]
    before, brace, rest = text.partition("{")
    if not brace or not depth:
        return text
    try:
        inner, end = json.JSONDecoder().raw_decode(brace + rest)
    except (ValueError, RecursionError):
        return text
    words = _unwrapped(inner, depth - 1)
    return f"{before}{words}{(brace + rest)[end:]}" if words else text
