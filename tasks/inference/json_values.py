"""JSON objects out of an answer: a line each, or one over several lines."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from tasks.core.errors import FailureReason, PageError

MOST_BYTES = 64_000_000
"""Of an answer that lists models, and of a line of a download's."""


async def json_values(chunks: AsyncIterator[bytes], most: int, *, each: bool = False) -> AsyncGenerator[dict[str, Any]]:
    """Take a body apart into its JSON objects, each as soon as it is there.

    Args:
        chunks: of the body.
        most: bytes of it.
        each: so many of each line instead.

    Raises:
        PageError: there are more.
        ValueError: what is left at the end is no JSON object.
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
            value = _decoded(line) if line.strip() else None
            if value is not None:
                yield value
            elif line.strip():  # it may be one object, written over several lines
                parts = [b"\n".join([*lines[place:], *parts])]
                in_lines = False
                break
    if rest := b"".join(parts).strip():
        value = _decoded(rest)
        if value is None:
            raise ValueError
        yield value


def _decoded(text: bytes) -> dict[str, Any] | None:
    try:
        decoded = json.loads(text.decode(errors="replace").lstrip("\ufeff"))
    except (ValueError, RecursionError):  # no JSON, or a number or a nesting beyond Python's limits
        return None
    return decoded if isinstance(decoded, dict) else None
