"""Responses in the form that Ollama gives them."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

from starlette.responses import Response, StreamingResponse

MOST_ERROR_CHARACTERS = 2000


def to_json(value: object) -> bytes:
    """Encode as Go does; half a surrogate pair, which no encoding has, becomes a question mark."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def reply(value: object, status: int = 200) -> Response:
    """A JSON response."""
    return Response(to_json(value), status, media_type="application/json; charset=utf-8")


def finished(value: object, status: int = 200) -> Response:
    """A JSON response where Ollama names no character set: the end of a pull, and all that OpenAI's clients get."""
    return Response(to_json(value), status, media_type="application/json")


def streamed(lines: Iterator[bytes], media_type: str) -> Response:
    """A streamed response, where Ollama names no character set either."""
    return StreamingResponse(lines, headers={"Content-Type": media_type})


def failure(status: int, error: str) -> Response:
    """An error with its text."""
    return reply({"error": shortened(error)}, status)


def shortened(error: str) -> str:
    """Cut an error's text that repeats a request of megabytes."""
    return error if len(error) <= MOST_ERROR_CHARACTERS else f"{error[:MOST_ERROR_CHARACTERS]}..."


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def now() -> str:
    """The present time as RFC 3339."""
    return timestamp(datetime.now(UTC))
