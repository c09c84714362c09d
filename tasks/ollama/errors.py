"""Ollama's errors, turned into Hearth's.

Ollama answers nearly every failure with 500, and passes on its llama-server's message as JSON inside the text. A
failure that is known to be permanent is a ModelError at once. Any other error of the server is a ServerFaultError; the
caller treats it as permanent when it comes back alike.
"""

from tasks.core.errors import (
    FailureReason,
    HearthError,
    ModelError,
    PageError,
    ServerError,
    ServerFaultError,
)
from tasks.inference.server_words import server_words
from tasks.inference.status_errors import status_error

_PASSING_STATUS = {408, 425, 429, 499, 502, 503, 504}

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

# Texts about the `format` of a request, under 500 or 400 (llm/server.go; llama-server's message within it).
_REFUSED_FORMAT = ("invalid json schema", "invalid format:", "json schema error", "failed to parse grammar")


def classify(url: str, status: int, body: str, *, authorized: bool) -> HearthError:
    """Return the error for a response; an error that was sent under 200 has the status 500."""
    words = server_words(body)
    if status == 404 and words is None:
        return ServerError(f"There is no Ollama at {url} (HTTP 404). Correct HEARTH_URL.")
    words = words or f"HTTP {status}"
    if error := status_error(url, status, words, _PASSING_STATUS, authorized=authorized):
        return error
    if status == 404 or any(text in words.lower() for text in _PERMANENT):
        return ModelError(words)
    if status in {400, 413} or any(text in words.lower() for text in _REFUSED_FORMAT):
        return PageError(FailureReason.REFUSED, f"The server refuses the request: {words}.", final=True)
    return ServerFaultError(f"{url} failed: {words}.", words)
