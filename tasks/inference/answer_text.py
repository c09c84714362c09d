"""The text of an answer as it arrives, whatever API sends it."""

import math
import time
from collections.abc import Iterable
from typing import Any

from tasks.text.legible import legible
from tasks.text.loops import LoopDetector


class AnswerText:
    """Collects the pieces of an answer.

    Args:
        loops: whether to look for loops. Data may repeat itself, as equal rows of a table do, and its end is the
            grammar's: what is cut off within it is worth nothing.

    Attributes:
        thought: characters of thinking so far.
        looped: the text has entered a loop.
        first_seconds: seconds from the request to the first text or thinking; None before that.
    """

    def __init__(self, *, loops: bool = True) -> None:
        self._started = time.perf_counter()
        self._text: list[str] = []
        self._loops = LoopDetector() if loops else None
        self._log_probability = 0.0
        self._tokens = 0
        self.thought = 0
        self.looped = False
        self.first_seconds: float | None = None

    @property
    def pieces(self) -> int:
        """The number of pieces so far."""
        return len(self._text)

    @property
    def seconds(self) -> float:
        """Seconds since the request."""
        return time.perf_counter() - self._started

    def add(self, text: str, thinking: str = "", *, last: bool = False, logprobs: Iterable[float] = ()) -> None:
        """Add a piece.

        Args:
            text: may end in half a character.
            thinking: what the model wrote before its answer.
            last: the answer ends with this piece.
            logprobs: logarithms of the probabilities of its tokens.
        """
        if self.first_seconds is None and (text or thinking):
            self.first_seconds = self.seconds
        self._text.append(text)
        self.thought += len(thinking)
        for logprob in logprobs:
            self._log_probability += logprob
            self._tokens += 1
        self.looped = not last and self._loops is not None and self._loops.add(text or thinking)

    def fields(self) -> dict[str, Any]:
        """Return the fields of an `Answer` that this knows."""
        confidence = round(math.exp(self._log_probability / self._tokens), 4) if self._tokens else None
        return {
            "response": legible("".join(self._text)),
            "thought": self.thought,
            "confidence": confidence,
            "first_seconds": self.first_seconds,
        }
