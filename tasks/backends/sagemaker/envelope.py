"""The envelopes in which Ollama's calls pass /invocations; the adapter in infra_scripts/sagemaker opens them."""

import json

import httpx


def close_envelope(path: str, body: bytes, *, beats: bool = False) -> bytes:
    """Return a call of Ollama's API, whose body is JSON or empty, and its path as one body.

    If `beats`, the container sends blanks until it has the response.
    """
    alive = b', "beats": true' if beats else b""
    return b'{"path": %s, "body": %s%s}' % (json.dumps(path).encode(), body or b"null", alive)


def open_envelope(content: bytes) -> httpx.Response:
    """Return Ollama's response from an envelope; 502 if it is none."""
    try:
        response = json.loads(content)
        return httpx.Response(int(response["status"]), content=str(response["body"]).encode())
    except (ValueError, KeyError, TypeError, RecursionError):
        return error_response(502, "the endpoint's container is not Hearth's, or of another version")


def error_response(status: int, message: str) -> httpx.Response:
    """Return an error in Ollama's form."""
    return httpx.Response(status, json={"error": message})
