"""JSON objects from a response: one per line, or one over several lines."""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from tasks.core.errors import FailureReason, PageError

MOST_BYTES = 64_000_000
"""Limit of a response that lists models, and of a line of a download's progress."""


async def json_values(chunks: AsyncIterator[bytes], most: int, *, each: bool = False) -> AsyncGenerator[dict[str, Any]]:
    """Yield the JSON objects of a body, each as soon as it has arrived: one per line, or one over several lines.

    Args:
        chunks: of the body.
        most: maximum bytes of the body.
        each: `most` limits each line instead.

    Raises:
        PageError: the limit is exceeded.
        ValueError: the rest of the body is not a JSON object.
    """
    parts: list[bytes] = []
    size = 0
    in_lines = True
    async for chunk in chunks:
        size += len(chunk)
        if size > most:
            raise PageError(FailureReason.REFUSED, f"The server's answer is longer than {most / 1e6:.0f} MB.")
        parts.append(chunk)
        if not in_lines or b"\n" not in chunk:
            continue
        lines = b"".join(parts).split(b"\n")
        parts = [lines.pop()]
        size = len(parts[0]) if each else size
        for place, line in enumerate(lines):
            value = _decode(line) if line.strip() else None
            if value is not None:
                yield value
            elif line.strip():  # perhaps one object over several lines
                parts = [b"\n".join([*lines[place:], *parts])]
                in_lines = False
                break
    if rest := b"".join(parts).strip():
        value = _decode(rest)
        if value is None:
            raise ValueError
        yield value


def _decode(text: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(text.decode(errors="replace").lstrip("\ufeff"))
    except (ValueError, RecursionError):  # not JSON, or a number or nesting beyond Python's limits
        return None
    return value if isinstance(value, dict) else None
