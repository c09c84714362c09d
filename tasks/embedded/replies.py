"""Responses in Ollama's form."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

from starlette.responses import Response, StreamingResponse

MOST_ERROR_CHARACTERS = 2000


def to_json(value: object) -> bytes:
    """Encode JSON as Go does; a lone surrogate becomes a question mark."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def reply(value: object, status: int = 200) -> Response:
    """Return a JSON response."""
    return Response(to_json(value), status, media_type="application/json; charset=utf-8")


def finished(value: object, status: int = 200) -> Response:
    """Return a JSON response without a character set, as Ollama does after a pull and for OpenAI's clients."""
    return Response(to_json(value), status, media_type="application/json")


def streamed(lines: Iterator[bytes], media_type: str) -> Response:
    """Return a streamed response, also without a character set."""
    return StreamingResponse(lines, headers={"Content-Type": media_type})


def failure(status: int, error: str) -> Response:
    """Return an error response."""
    return reply({"error": shortened(error)}, status)


def shortened(error: str) -> str:
    """Return an error's text, cut if it repeats a request of megabytes."""
    return error if len(error) <= MOST_ERROR_CHARACTERS else f"{error[:MOST_ERROR_CHARACTERS]}..."


def timestamp(moment: datetime) -> str:
    """Return a time in RFC 3339, in UTC."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def now() -> str:
    """Return the current time in RFC 3339."""
    return timestamp(datetime.now(UTC))
