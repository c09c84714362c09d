"""What errors of servers that speak OpenAI's API mean."""

from __future__ import annotations

import json

import pytest

from tasks.core.errors import ModelError, PageError, ServerError, ServerFaultError, TransientError
from tasks.openai.errors import classify

URL = "http://server:8000"


def error(message: str, **more: object) -> str:
    return json.dumps({"error": {"message": message, **more}})


@pytest.mark.parametrize(
    ("status", "body", "kind", "named"),
    [
        (503, error("Loading model", type="unavailable_error"), TransientError, "Loading model"),
        (429, error("Rate limit reached"), TransientError, "Rate limit"),
        (529, "", TransientError, "HTTP 529"),
        (401, error("Invalid API Key"), ServerError, "HEARTH_URL_TOKEN"),
        (404, "<html>", ServerError, "no API of OpenAI's"),
        (404, error("The model `x` does not exist."), ModelError, "does not exist"),
        (400, error("x is not a multimodal model"), ModelError, "cannot read images"),
        (
            400,
            error(
                "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens (904 in the "
                "messages, 4096 in the completion)."
            ),
            PageError,
            "does not fit",
        ),
        (
            400,
            json.dumps(
                {
                    "object": "error",
                    "message": "The decoder prompt (length 5000) is longer than the maximum model length of 4096.",
                }
            ),
            PageError,
            "does not fit",
        ),
        (400, error("Failed to load image or audio file"), PageError, "refuses the request"),
        (422, json.dumps({"detail": "Unprocessable"}), PageError, "Unprocessable"),
        (500, error("CUDA out of memory"), ServerFaultError, "CUDA"),
    ],
)
def test_an_error_is_named_for_what_the_caller_does_next(status, body, kind, named):
    found = classify(URL, status, body, authorized=False)
    assert type(found) is kind
    assert named in str(found)


def test_a_token_that_is_refused_is_said_to_be_wrong():
    assert "token is not the server's" in str(classify(URL, 401, error("no"), authorized=True))
