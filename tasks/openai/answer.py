"""A page's answer, built from the events that a server sends."""

from tasks.core.errors import FailureReason, PageError
from tasks.inference.answer_text import AnswerText
from tasks.inference.schema import Answer
from tasks.openai.schema import Choice, Piece


class AnswerBuilder:
    """Builds a page's answer from its pieces, and ends it when the text has entered a loop."""

    def __init__(self) -> None:
        self._text = AnswerText()
        self._reason = ""
        self._refusal = ""
        self._facts: dict[str, int] = {}

    def add(self, piece: Piece) -> bool:
        """Add a piece; return whether to end the answer here. Counts come after its last text."""
        if piece.usage:
            self._facts["prompt_eval_count"] = piece.usage.prompt_tokens
            self._facts["eval_count"] = piece.usage.completion_tokens
        if piece.timings:
            prompt, answer = (int(ms * 1e6) for ms in (piece.timings.prompt_ms, piece.timings.predicted_ms))
            # It does not say how long the request waited for a slot: all the rest of the time, as seen from here.
            total = max(prompt + answer, int(self._text.seconds * 1e9))
            self._facts |= {"prompt_eval_duration": prompt, "eval_duration": answer, "total_duration": total}
        for choice in piece.choices[:1]:
            self._add(choice)
        return self._text.looped

    def _add(self, choice: Choice) -> None:
        added = choice.added
        self._refusal += added.refusal
        self._reason = choice.finish_reason or self._reason
        thinking = added.reasoning_content or added.reasoning
        self._text.add(added.content, thinking, last=bool(choice.finish_reason), logprobs=choice.logprobs)

    def answer(self) -> Answer | None:
        """Return the answer; None if it was broken off without a cause of its own.

        Raises:
            PageError: the model, or what watches it, declined.
        """
        if self._reason == "content_filter" or self._refusal:
            raise PageError(FailureReason.DECLINED, "The server declined to answer for this page (its content filter).")
        if not self._reason and not self._text.looped:
            return None
        reason = "length" if self._reason == "length" else "stop" if self._reason else ""
        counts = {"eval_count": self._text.pieces, **self._facts}
        return Answer(**self._text.fields(), done=bool(self._reason), done_reason=reason, **counts)
