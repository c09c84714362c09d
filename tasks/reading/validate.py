"""Validation of answers: accepted as a page's text, or refused with a reason."""

from collections.abc import Sequence

from tasks.core.calls import CleanUp
from tasks.core.errors import FailureReason, PageError
from tasks.documents.page_image import PageImage
from tasks.inference.schema import Answer, GenerateRequest
from tasks.models.clean_up import clean_up
from tasks.models.prompts import NO_TEXT
from tasks.reading.clean import Cleaned, clean, is_refusal, is_unfinished_thought
from tasks.text.loops import Loop, find_loop

_LANGUAGE = "primary_language"
"""What olmOCR claims of each page: null where it found nothing to read."""
_THINKS = "it spent them on thinking. Use a model that does not think (an instruct tag), or raise --num-predict"


def validate(answer: Answer, image: PageImage, request: GenerateRequest, steps: Sequence[CleanUp] = ()) -> Cleaned:
    """Return the page's text in an answer, as Markdown, without the text that the model added around it.

    Args:
        answer: the model's.
        image: the page's.
        request: the options of the request.
        steps: from what the model was trained to write to Markdown.

    Raises:
        PageError: the answer ends in a loop, was cut off, is a refusal, or is empty although the page has ink.
    """
    check_complete(answer, request)
    page = _page(answer.response, steps)
    if is_refusal(page.text):
        raise PageError(FailureReason.DECLINED, "The model answered that it cannot read the page.")
    if page.text == NO_TEXT or (not page.text and page.claims.get(_LANGUAGE, "") is None):
        ink = (f"the model found no text, but {image.ink:.2%} of the page is ink",) if image.has_ink else ()
        return Cleaned("", (*page.done, *ink), page.claims)
    if not page.text and image.has_ink:
        thought = f" The model thought for {answer.thought} characters without an answer." if answer.thought else ""
        raise PageError(FailureReason.EMPTY, f"The answer is empty, but {image.ink:.2%} of the page is ink.{thought}")
    return page


def check_complete(answer: Answer, request: GenerateRequest, *, loops: bool = True) -> None:
    """Check that an answer came to its end.

    Args:
        answer: the model's.
        request: the options of the request.
        loops: whether a whole answer may not end in a loop; one that was cut off never may.

    Raises:
        PageError: it ends in a loop, was cut off, or consists of thinking.
    """
    cut = answer.done_reason == "length"
    loop = find_loop(answer.response, cut=cut or not answer.done) if loops or cut or not answer.done else None
    if loop or not answer.done:
        raise PageError(FailureReason.REPETITION, _repetition(answer, loop))
    if cut:
        after = f" after {answer.eval_count} tokens" if answer.eval_count else ""
        raise PageError(FailureReason.TRUNCATED, f"The answer was cut off{after}{_limit(answer, request)}.")
    if is_unfinished_thought(answer.response):
        raise PageError(FailureReason.EMPTY, f"The answer ended after {answer.eval_count} tokens: {_THINKS}.")


def part_of(answer: Answer, steps: Sequence[CleanUp] = ()) -> str:
    """Return the part of a page's text in a bad answer; a loop is kept once."""
    text = answer.response
    if loop := find_loop(text, cut=answer.done_reason == "length" or not answer.done):
        text = text[: loop.start + loop.size]
    return "" if is_unfinished_thought(text) else _page(text, steps).text


def _page(text: str, steps: Sequence[CleanUp]) -> Cleaned:
    page = clean(text)
    written = clean_up(page.text, steps)
    return Cleaned(written.text.strip(), (*page.done, *written.removed), written.claims)


def _repetition(answer: Answer, loop: Loop | None) -> str:
    if loop is None:
        return "The server broke the answer off, as it does where a model repeats itself."
    text, size = answer.response, loop.size
    of = "counting on" if size and text[-size:] != text[-2 * size : -size] else "the same"
    return f"The answer ends in {loop.turns} turns of {of}, {len(text) - loop.start} characters in all."


def _limit(answer: Answer, request: GenerateRequest) -> str:
    """Name the limit that an answer reached: num_predict, or the context, which also holds the page."""
    tokens, before = answer.eval_count, answer.prompt_eval_count
    if answer.thought or is_unfinished_thought(answer.response):
        return f", and {_THINKS}"
    if not 0 < tokens < request.num_predict:
        return "; raise --num-predict"
    of = f"the context of {request.num_ctx} tokens"
    if 0 < before + tokens < request.num_ctx * 0.9:
        of = f"a context smaller than the requested {request.num_ctx} tokens"
    return f", where {of} was full: {before} are the page's own. Raise --num-ctx, or lower --longest-side"
