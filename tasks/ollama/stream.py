"""Decoding of responses: JSON objects from a stream, and a page's answer from its pieces."""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from tasks.core.errors import FailureReason, PageError
from tasks.ollama.schema import Answer, Piece
from tasks.text.legible import legible
from tasks.text.loops import LoopDetector

MOST_BYTES = 64_000_000
"""Limit of a response that lists models, and of a line of a download's progress."""
_TOKEN_BYTES = 1000
"""Bytes of a streamed line: a token in JSON, with Ollama's own fields."""
_BROKEN_OFF = 30
"""Equal tokens after which Ollama breaks an answer off (llm/server.go); they may leave no text."""


def most_bytes(num_predict: int) -> int:
    """Return the maximum bytes of a page's answer."""
    return 1_000_000 + _TOKEN_BYTES * num_predict


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


class AnswerBuilder:
    """Builds a page's answer from its pieces, and ends it when the text has entered a loop."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._thought = 0
        self._last: dict[str, Any] = {}
        self._loops = LoopDetector()
        self._looped = False

    def add(self, piece: Piece, line: dict[str, Any]) -> bool:
        """Add a piece and the line that it came in; return whether the answer is complete."""
        self._text.append(piece.response)
        self._thought += len(piece.thinking)
        self._last = line
        self._looped = not piece.done and self._loops.add(piece.response or piece.thinking)
        return piece.done or self._looped

    def answer(self) -> Answer | None:
        """Return the answer so far; None if it was broken off without a reason in its text."""
        text = legible("".join(self._text))
        fields = {**self._last, "response": text, "thought": self._thought}
        if not self._last.get("done"):
            if not text and not self._looped and len(self._text) <= _BROKEN_OFF:
                return None
            fields["eval_count"] = len(self._text)
        return Answer.model_validate(fields)
