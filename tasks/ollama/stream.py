"""How an answer comes: JSON values, a line each or one over several lines, and a page's text put together of them."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from tasks.core.errors import FailureReason, PageError
from tasks.ollama.schema import Answer, Piece
from tasks.text.legible import legible
from tasks.text.loops import LoopDetector

MOST_BYTES = 64_000_000
"""Of an answer that lists models, and of a line of a download's."""
_TOKEN_BYTES = 1000
"""Of a streamed line: a token in JSON, beside Ollama's own fields."""
_BROKEN_OFF = 30
"""Tokens alike after which Ollama breaks an answer off (llm/server.go); they may be such that leave no text."""


def most_bytes(num_predict: int) -> int:
    """Bytes of a page's answer, at the most."""
    return 1_000_000 + _TOKEN_BYTES * num_predict


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


class AnswerBuilder:
    """Puts a page's answer together of its pieces, and ends it when the text has got into a loop."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._thought = 0
        self._last: dict[str, Any] = {}
        self._loops = LoopDetector()
        self._looped = False

    def add(self, piece: Piece, sent: dict[str, Any]) -> bool:
        """Take in a piece, as it was sent, too. Returns whether no more is wanted."""
        self._text.append(piece.response)
        self._thought += len(piece.thinking)
        self._last = sent
        self._looped = not piece.done and self._loops.add(piece.response or piece.thinking)
        return piece.done or self._looped

    def answer(self) -> Answer | None:
        """The answer so far; None if there is nothing in it that it could have been broken off for."""
        text = legible("".join(self._text))
        told = {**self._last, "response": text, "thought": self._thought}
        if not self._last.get("done"):
            if not text and not self._looped and len(self._text) <= _BROKEN_OFF:
                return None
            told["eval_count"] = len(self._text)
        return Answer.model_validate(told)
