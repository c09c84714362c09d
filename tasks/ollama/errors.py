"""Ollama's errors, turned into Hearth's.

Ollama answers nearly every failure with 500, and passes on its llama-server's message as JSON inside the text. A
failure that is known to be permanent is a ModelError at once. Any other error of the server is a ServerFaultError; the
caller treats it as permanent when it comes back alike.
"""

import json
import re

from tasks.core.errors import (
    FailureReason,
    HearthError,
    ModelError,
    PageError,
    ServerError,
    ServerFaultError,
    TransientError,
)

_PASSING_STATUS = {408, 425, 429, 499, 502, 503, 504}
_LONGEST = 300
"""Characters of a server's message that are passed on."""
_LARGEST_BODY = 100_000
_DEEPEST = 12
"""Nested objects and texts that are searched: three for each error within an error."""
_WORDS = ("error", "message", "detail")
"""Keys of an error's text: Ollama's, llama-server's, a proxy's."""

# Texts of permanent errors (ollama#16490, #16547; server/images.go).
_PERMANENT = (
    "unknown model architecture",
    "file does not exist",
    "not found",
    "invalid model name",
    "requires a newer version",
    "no longer compatible",
    "requires more system memory",
    "unauthorized",
    "authentication",
    "access denied",
    "does not support",
    "unsupported model",
    "no space left on device",
)
# Addresses, process numbers, sizes, times and ports, which vary between equal errors.
_VARIES = re.compile(r"0x[0-9a-f]+|[0-9a-f]{12,}|\d+(?:\.\d+)*")


def classify(url: str, status: int, body: str, *, authorized: bool) -> HearthError:
    """Return the error for a response.

    Args:
        url: of the server.
        status: of the response; 500 for an error that was sent under 200.
        body: of the response.
        authorized: the request carried a token.
    """
    words = server_words(body)
    if status == 404 and words is None:
        return ServerError(f"There is no Ollama at {url} (HTTP 404). Correct HEARTH_URL.")
    words = words or f"HTTP {status}"
    if status in _PASSING_STATUS:
        return TransientError(f"{url} cannot answer just now: {words}.")
    if status in {401, 403}:
        cause = "the token is not the server's" if authorized else "Hearth sent no token (HEARTH_URL_TOKEN)"
        return ServerError(f"{url} refuses access ({words}): {cause}; check the address.")
    if status == 404 or any(text in words.lower() for text in _PERMANENT):
        return ModelError(words)
    if status in {400, 413}:
        return PageError(FailureReason.REFUSED, f"The server refuses the request: {words}.", final=True)
    return ServerFaultError(f"{url} failed: {words}.", words)


def server_words(body: str) -> str | None:
    """Return the message of an error's body, without the JSON around it; None if there is none."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    text = _unwrap(value, _DEEPEST) if isinstance(value, dict) else ""
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
