"""A page's answer, built from the lines that Ollama sends."""

from typing import Any

from tasks.inference.answer_text import AnswerText
from tasks.inference.schema import Answer
from tasks.ollama.schema import Piece

_TOKEN_BYTES = 1000
"""Bytes of a streamed line: a token in JSON, with Ollama's own fields."""
_BROKEN_OFF = 30
"""Equal tokens after which Ollama breaks an answer off (llm/server.go); they may leave no text."""


def most_bytes(num_predict: int) -> int:
    """Return the maximum bytes of a page's answer."""
    return 1_000_000 + _TOKEN_BYTES * num_predict


class AnswerBuilder:
    """Builds a page's answer from its pieces, and ends it when the text has entered a loop, unless it is data."""

    def __init__(self, *, data: bool = False) -> None:
        self._text = AnswerText(loops=not data)
        self._last: dict[str, Any] = {}

    def add(self, piece: Piece, line: dict[str, Any]) -> bool:
        """Add a piece and the line that it came in; return whether the answer is complete."""
        self._text.add(piece.response, piece.thinking, last=piece.done, logprobs=piece.logprobs)
        self._last = line
        return piece.done or self._text.looped

    def answer(self) -> Answer | None:
        """Return the answer so far; None if it was broken off without a reason in its text."""
        fields = {**self._last, **self._text.fields()}
        if not self._last.get("done"):
            if not fields["response"] and not self._text.looped and self._text.pieces <= _BROKEN_OFF:
                return None
            fields["eval_count"] = self._text.pieces
        return Answer.model_validate(fields)
