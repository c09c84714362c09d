"""Whether an answer is a page's text: accepted, or named by what is wrong with it."""

from __future__ import annotations

from tasks.core.errors import FailureReason, PageError
from tasks.documents.render import PageImage
from tasks.inference.schema import Answer, GenerateRequest
from tasks.reading.clean import Cleaned, cleaned, declined, unfinished_thought
from tasks.text.loops import Loop, find_loop

_THINKS = "it spent them on thinking. Use a model that does not think (an instruct tag), or raise --num-predict"


def validate(answer: Answer, image: PageImage, request: GenerateRequest) -> Cleaned:
    """Accept an answer, without what is no text of the page, or say why it is no good.

    Raises:
        PageError: it ends in a loop, was cut off, refuses, or is empty although the page has ink.
    """
    cut = answer.done_reason == "length"
    loop = find_loop(answer.response, cut=cut or not answer.done)
    if loop or not answer.done:
        raise PageError(FailureReason.REPETITION, _repetition(answer, loop))
    if cut:
        after = f" after {answer.eval_count} tokens" if answer.eval_count else ""
        raise PageError(FailureReason.TRUNCATED, f"The answer was cut off{after}{_limit(answer, request)}.")
    if unfinished_thought(answer.response):
        raise PageError(FailureReason.EMPTY, f"The answer ended after {answer.eval_count} tokens: {_THINKS}.")
    found = cleaned(answer.response)
    if declined(found.text):
        raise PageError(FailureReason.DECLINED, "The model answered that it cannot read the page.")
    if not found.text and image.has_ink:
        told = f" It thought for {answer.thought} characters, and came to no answer." if answer.thought else ""
        raise PageError(FailureReason.EMPTY, f"The answer is empty, but {image.ink:.2%} of the page is ink.{told}")
    return found


def part_of(answer: Answer) -> str:
    """What a bad answer has of a page's text: a loop is in it once."""
    text = answer.response
    if loop := find_loop(text, cut=answer.done_reason == "length" or not answer.done):
        text = text[: loop.start + loop.size]
    return "" if unfinished_thought(text) else cleaned(text).text


def _repetition(answer: Answer, loop: Loop | None) -> str:
    if loop is None:
        return "The server broke the answer off, as it does where a model repeats itself."
    of = "counting on" if loop.size and not _equal(answer.response, loop) else "the same"
    return f"The answer ends in {loop.turns} turns of {of}, {len(answer.response) - loop.start} characters in all."


def _equal(text: str, loop: Loop) -> bool:
    return text[-loop.size :] == text[-2 * loop.size : -loop.size]


def _limit(answer: Answer, request: GenerateRequest) -> str:
    """The limit that an answer ran into: num_predict, or the context, in which the page has to be, too."""
    tokens, before = answer.eval_count, answer.prompt_eval_count
    if answer.thought or unfinished_thought(answer.response):
        return f", and {_THINKS}"
    if not 0 < tokens < request.num_predict:
        return "; raise --num-predict"
    of = f"the context of {request.num_ctx} tokens"
    if 0 < before + tokens < request.num_ctx * 0.9:
        of = f"a context smaller than the {request.num_ctx} tokens asked for"
    return f", where {of} was full: {before} are the page's own. Raise --num-ctx, or lower --longest-side"
