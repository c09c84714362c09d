"""What Ollama's errors say, and what follows from them for the caller.

Ollama answers nearly every failure with 500, and passes on its llama-server's message as JSON inside the text. A
failure that is known to be permanent is a ModelError at once. Any other error of the server is a ServerFaultError; the
caller treats it as permanent when it comes back alike.
"""

from __future__ import annotations

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
"""Characters of a server's words that are passed on."""
_LARGEST_BODY = 100_000
_DEEPEST = 12
"""Objects and texts inside each other that are looked into: three for each error in an error."""
_WORDS = ("error", "message", "detail")
"""Where an error's text is, in JSON: Ollama's key, llama-server's, a proxy's."""

# Texts of errors that stay what they are however often one asks (ollama#16490, #16547; server/images.go).
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
# An address in memory or of a process, a size, a time, a port: they differ where the error does not.
_VARIES = re.compile(r"0x[0-9a-f]+|[0-9a-f]{12,}|\d+(?:\.\d+)*")


def classified(url: str, status: int, body: str, *, authorized: bool) -> HearthError:
    """Return the error that an answer stands for.

    Args:
        url: of the server.
        status: of the answer; 500 for an error that was sent under 200.
        body: of the answer.
        authorized: whether the request carried a token.
    """
    words = server_words(body)
    if status == 404 and words is None:
        return ServerError(f"There is no Ollama at {url} (HTTP 404). Correct HEARTH_URL.")
    words = words or f"HTTP {status}"
    if status in _PASSING_STATUS:
        return TransientError(f"{url} cannot answer just now: {words}.")
    if status in {401, 403}:
        sent = "the token is not the server's" if authorized else "Hearth sent no token (HEARTH_URL_TOKEN)"
        return ServerError(f"{url} refuses access ({words}): {sent}; check the address.")
    if status == 404 or any(text in words.lower() for text in _PERMANENT):
        return ModelError(words)
    if status in {400, 413}:
        return PageError(FailureReason.REFUSED, f"The server refuses the request: {words}.", final=True)
    return ServerFaultError(f"{url} failed: {words}.", words)


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
