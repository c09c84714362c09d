"""How Ollama's calls travel through /invocations: the adapter in infra_scripts/sagemaker opens what is closed here."""

from __future__ import annotations

import json

import httpx


def enveloped(path: str, body: bytes, *, beats: bool = False) -> bytes:
    """A call with its path, as one body.

    Args:
        path: of Ollama's API.
        body: the call's JSON; empty for a GET.
        beats: the container sends blanks until it has the answer.
    """
    alive = b', "beats": true' if beats else b""
    return b'{"path": %s, "body": %s%s}' % (json.dumps(path).encode(), body or b"null", alive)


def opened(content: bytes) -> httpx.Response:
    """Ollama's own answer out of an envelope; 502 if it is none."""
    try:
        answer = json.loads(content)
        return httpx.Response(int(answer["status"]), content=str(answer["body"]).encode())
    except (ValueError, KeyError, TypeError, RecursionError):
        return saying(502, "the endpoint's container is not Hearth's, or of another version")


def saying(status: int, told: str) -> httpx.Response:
    """An error in Ollama's form."""
    return httpx.Response(status, json={"error": told})
