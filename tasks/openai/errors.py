"""What the errors of servers that speak OpenAI's API mean for the caller.

Their texts differ, their status codes hardly: 400 and 413 for a request that stays wrong, 401 and 403 for access, 404
for a model, 429 for too many requests, 503 while the model loads (llama-server's README, vLLM's ErrorResponse).
"""

import re

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

_PASSING_STATUS = {408, 409, 425, 429, 499, 502, 503, 504, 529}
# Of vLLM, which counts the answer's most tokens in; and of SGLang and OpenAI.
_TOO_LONG = re.compile(
    r"maximum (?:context|model) length (?:is|of) \d+|"
    r"longer than the (?:maximum )?(?:model'?s? )?(?:context|model) length"
)
_NO_MODEL = ("no models loaded",)
"""LM Studio's, under 400 (https://github.com/lmstudio-ai/lms/issues/107)."""
_NO_IMAGES = ("does not support image", "not a multimodal", "image input is not supported", "at most 0 image")


def classify(url: str, status: int, body: str, *, authorized: bool) -> HearthError:
    """Return the error that an answer stands for.

    Args:
        url: of the server.
        status: of the answer; 500 for an error that was sent under 200.
        body: of the answer.
        authorized: whether the request carried a token.
    """
    words = server_words(body)
    if status == 404 and words is None:
        return ServerError(f"There is no API of OpenAI's at {url} (HTTP 404). Correct HEARTH_URL.")
    words = words or f"HTTP {status}"
    error = status_error(url, status, words, _PASSING_STATUS, authorized=authorized)
    return error or _of_request(url, status, words)


def _of_request(url: str, status: int, words: str) -> HearthError:
    """Return the error of a request that the server understood, and does not serve."""
    lower = words.lower()
    if any(text in lower for text in _NO_IMAGES):
        return ModelError(f"it cannot read images: {words}")
    if _TOO_LONG.search(lower):
        remedy = "Start the server with a longer context, lower --longest-side, or lower --num-predict."
        return PageError(
            FailureReason.REFUSED, f"The page does not fit into the model's context: {words}. {remedy}", final=True
        )
    if status == 404 or any(text in lower for text in _NO_MODEL):
        return ModelError(words)
    if status in {400, 413, 422}:
        return PageError(FailureReason.REFUSED, f"The server refuses the request: {words}.", final=True)
    return ServerFaultError(f"{url} failed: {words}.", words)
