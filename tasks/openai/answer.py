"""A page's answer, built from the events that a server sends."""

from tasks.core.errors import FailureReason, PageError
from tasks.inference.answer_text import AnswerText
from tasks.inference.schema import Answer
from tasks.openai.schema import Choice, Piece

_LENGTH = {"length", "max_tokens"}
_TOOLS = {"tool_calls", "function_call"}
_BROKEN = {"abort", "error", "cancelled"}
"""Reasons beside OpenAI's, with which vLLM and SGLang end an answer in the middle."""


class AnswerBuilder:
    """Builds a page's answer from its pieces, and ends it when the text has entered a loop.

    Args:
        num_predict: maximum tokens of the answer.
        data: the answer follows a JSON Schema, and no loop ends it.
    """

    def __init__(self, num_predict: int, *, data: bool = False) -> None:
        self._num_predict = num_predict
        self._ended = False
        self._text = AnswerText(loops=not data)
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
        self._ended = self._ended or piece.done
        return self._text.looped or self._ended

    @property
    def complete(self) -> bool:
        """Whether the server has said that the answer is complete; counts may be missing."""
        return bool(self._reason) and self._reason not in _BROKEN

    def _add(self, choice: Choice) -> None:
        added = choice.added
        self._refusal += added.refusal
        self._reason = choice.finish_reason or self._reason
        thinking = added.reasoning_content or added.reasoning
        self._text.add(added.content, thinking, last=bool(choice.finish_reason), logprobs=choice.logprobs)

    def answer(self) -> Answer | None:
        """Return the answer; None if it was broken off without a reason in its text.

        Raises:
            PageError: the model, or what watches it, declined, or it called a tool.
        """
        if self._reason == "content_filter" or self._refusal:
            raise PageError(FailureReason.DECLINED, "The server declined to answer for this page (its content filter).")
        if self._reason in _TOOLS:
            raise PageError(FailureReason.REFUSED, "The model called a tool, of which it has none, instead of reading.")
        fields = {"eval_count": self._text.pieces, **self._facts, **self._text.fields()}
        if self._text.looped and not self._reason:
            return Answer(**fields, done=False)
        # Some servers end a stream by its mark alone (https://github.com/sgl-project/sglang/issues/4550). Without a
        # text it is an error that was not sent (https://github.com/vllm-project/vllm/pull/40986).
        if self._reason in _BROKEN or not (self._reason or (self._ended and fields["response"])):
            return None
        cut = self._reason in _LENGTH or (not self._reason and fields["eval_count"] >= self._num_predict)
        return Answer(**fields, done=True, done_reason="length" if cut else "stop")
