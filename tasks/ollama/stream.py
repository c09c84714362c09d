"""A page's answer, put together of the lines that Ollama sends."""

from __future__ import annotations

from typing import Any

from tasks.inference.answer_text import AnswerText
from tasks.inference.schema import Answer
from tasks.ollama.schema import Piece

_TOKEN_BYTES = 1000
"""Of a streamed line: a token in JSON, beside Ollama's own fields."""
_BROKEN_OFF = 30
"""Tokens alike after which Ollama breaks an answer off (llm/server.go); they may be such that leave no text."""


def most_bytes(num_predict: int) -> int:
    """Return the most bytes of a page's answer."""
    return 1_000_000 + _TOKEN_BYTES * num_predict


class AnswerBuilder:
    """Puts a page's answer together of its pieces, and ends it when the text has got into a loop."""

    def __init__(self) -> None:
        self._text = AnswerText()
        self._last: dict[str, Any] = {}

    def add(self, piece: Piece, sent: dict[str, Any]) -> bool:
        """Take in a piece, as it was sent, too. Returns whether no more is wanted."""
        self._text.add(piece.response, piece.thinking, last=piece.done, logprobs=piece.logprobs)
        self._last = sent
        return piece.done or self._text.looped

    def answer(self) -> Answer | None:
        """Return the answer so far; None if there is nothing in it that it could have been broken off for."""
        text = self._text.text
        own = {
            "response": text,
            "thought": self._text.thought,
            "confidence": self._text.confidence,
            "first_seconds": self._text.first_seconds,
        }
        if not self._last.get("done"):
            if not text and not self._text.looped and self._text.pieces <= _BROKEN_OFF:
                return None
            own["eval_count"] = self._text.pieces
        return Answer.model_validate({**self._last, **own})
