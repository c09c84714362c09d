"""Whether an answer is a page's text: accepted, or named by what is wrong with it."""

from __future__ import annotations

import re

from tasks.core.errors import FailureReason, PageError
from tasks.documents.render import PageImage
from tasks.ollama.client import Answer

# A loop is told by its length and its turns: real pages repeat themselves, too, in tables and rules.
_LOOP_TURNS = 8
_LOOP_CHARACTERS = 240
_LOOP_UNIT = 200


def validate(answer: Answer, image: PageImage) -> None:
    """Accept an answer, or say why it is no good.

    Raises:
        PageError: it was cut off, is empty although the page has ink, or ends in a loop.
    """
    if answer.done_reason == "length":
        raise PageError(
            FailureReason.TRUNCATED, f"The answer was cut off after {answer.eval_count} tokens; raise --num-predict."
        )
    text = answer.response.strip()
    if not text and image.has_ink:
        raise PageError(FailureReason.EMPTY, f"The answer is empty, but {image.ink:.2%} of the page is ink.")
    turns = loop_turns(text)
    if turns:
        raise PageError(FailureReason.REPETITION, f"The answer ends in {turns} turns of the same words.")


def loop_turns(text: str) -> int:
    """How many times over a text repeats its end, if that makes a loop; 0 otherwise.

    A loop is the same unit of at most 200 characters, 8 times and 240 characters long at least. Units without a
    letter are left alone: dot leaders, rules, empty table cells and columns of figures are no loops.
    """
    tail = text[-_LOOP_UNIT * _LOOP_TURNS * 2 :]
    for size in range(1, min(_LOOP_UNIT, len(tail) // _LOOP_TURNS) + 1):
        unit = tail[-size:]
        turns = 1
        while tail[-size * (turns + 1) : -size * turns] == unit:
            turns += 1
        if turns >= _LOOP_TURNS and turns * size >= _LOOP_CHARACTERS and re.search(r"[^\W\d_]", unit):
            return turns
    return 0
