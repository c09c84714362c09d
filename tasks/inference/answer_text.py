"""An answer's text as it comes, piece by piece: ended when it gets into a loop."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable

from tasks.text.legible import legible
from tasks.text.loops import LoopDetector


class AnswerText:
    """Collects what every API sends of an answer.

    Attributes:
        pieces: so many came.
        thought: characters that the model wrote to itself.
        looped: the text has got into a loop.
        first_seconds: until the first piece that holds a word or a thought; None before that.
    """

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._text: list[str] = []
        self._loops = LoopDetector()
        self._log_probability = 0.0
        self._tokens = 0
        self.thought = 0
        self.looped = False
        self.first_seconds: float | None = None

    @property
    def pieces(self) -> int:
        """How many came."""
        return len(self._text)

    @property
    def seconds(self) -> float:
        """Since the request."""
        return time.perf_counter() - self._started

    @property
    def text(self) -> str:
        """All of it, in which U+FFFD stands for what is no text."""
        return legible("".join(self._text))

    @property
    def confidence(self) -> float | None:
        """Geometric mean of the probabilities of its tokens, 0 to 1; None if none was told."""
        return round(math.exp(self._log_probability / self._tokens), 4) if self._tokens else None

    def add(self, text: str, thinking: str = "", *, last: bool = False, logprobs: Iterable[float] = ()) -> None:
        """Take in a piece.

        Args:
            text: of the answer; it may end in half a character.
            thinking: what the model wrote to itself.
            last: the answer ends with it.
            logprobs: of the tokens in it.
        """
        if self.first_seconds is None and (text or thinking):
            self.first_seconds = self.seconds
        self._text.append(text)
        self.thought += len(thinking)
        for logprob in logprobs:
            self._log_probability += logprob
            self._tokens += 1
        self.looped = not last and self._loops.add(text or thinking)
