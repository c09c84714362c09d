"""Which answers are a page's text, and what is wrong with the others."""

from __future__ import annotations

import pytest

from tasks.core.calls import CleanUp
from tasks.core.errors import FailureReason, PageError
from tasks.core.flags import FlagName
from tasks.documents.page_image import PageImage
from tasks.inference.schema import Answer, GenerateRequest
from tasks.reading.validate import part_of, validate
from tests.support.ollama.wire import MODEL

REQUEST = GenerateRequest(MODEL, num_ctx=8192, num_predict=4096, keep_alive=600)
INKED = PageImage(b"", 100, 100, 72.0, ink=0.05)
SPECKED = PageImage(b"", 100, 100, 72.0, ink=0.00001)
LOOP = "the same words again and " * 50


def answered(text: str, done_reason: str = "stop", **fields: object) -> Answer:
    return Answer.model_validate({"response": text, "done": True, "done_reason": done_reason} | fields)


def failure(answer: Answer, request: GenerateRequest = REQUEST) -> PageError:
    with pytest.raises(PageError) as caught:
        validate(answer, INKED, request)
    return caught.value


def test_a_text_is_accepted():
    assert validate(answered("# Title\n\nA paragraph.\n"), INKED, REQUEST).text == "# Title\n\nA paragraph."


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (answered("And so", "length"), FailureReason.TRUNCATED),
        (answered(""), FailureReason.EMPTY),
        (answered(" \n\t"), FailureReason.EMPTY),
        (answered("```markdown\n```"), FailureReason.EMPTY),
        (answered("Sure! Here is the transcription:\n\n"), FailureReason.EMPTY),
        (answered("<think>What is it?</think>"), FailureReason.EMPTY),
        (answered("<think>What is it?"), FailureReason.EMPTY),
        (answered(LOOP), FailureReason.REPETITION),
        (answered("| a | b |\n" * 100), FailureReason.REPETITION),
        (answered("Hello. jumps19 jumps19", done=False), FailureReason.REPETITION),
        (answered("I'm sorry, I can't help with that."), FailureReason.DECLINED),
    ],
)
def test_a_bad_answer_has_a_reason_and_may_be_requested_again(answer, reason):
    error = failure(answer)
    assert error.reason is reason
    assert not error.final
    assert "sorry" not in str(error)


def test_an_empty_answer_to_a_speck_is_valid():
    assert validate(answered(""), SPECKED, REQUEST).text == ""


# Limits


def test_an_answer_that_took_all_its_tokens_names_the_option_for_more():
    answer = answered("And so", "length", eval_count=4096, prompt_eval_count=1500)
    assert str(failure(answer)) == "The answer was cut off after 4096 tokens; raise --num-predict."


@pytest.mark.parametrize(
    "text", [LOOP, "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27", " !" * 99]
)
def test_a_loop_that_took_all_its_tokens_names_no_option(text):
    error = failure(answered(text, "length", eval_count=4096))
    assert error.reason is FailureReason.REPETITION
    assert "num-predict" not in str(error)


def test_a_context_that_was_full_is_named():
    error = failure(answered("And so", "length", eval_count=2192, prompt_eval_count=6000))
    assert error.reason is FailureReason.TRUNCATED
    assert "the context of 8192 tokens was full: 6000 are the page's own. Raise --num-ctx" in str(error)
    assert "num-predict" not in str(error)


def test_a_context_that_the_server_made_smaller_is_named():
    error = failure(answered("And so", "length", eval_count=1096, prompt_eval_count=3000))
    assert "a context smaller than the requested 8192 tokens" in str(error)


@pytest.mark.parametrize(
    "answer", [answered("", "length", eval_count=4096, thought=9000), answered("<think>Hm", "length")]
)
def test_thinking_that_took_all_tokens_is_named(answer):
    error = failure(answer)
    assert error.reason is FailureReason.TRUNCATED
    assert "thinking" in str(error)
    assert "instruct" in str(error)


# Parts


@pytest.mark.parametrize(
    ("answer", "part"),
    [
        (answered("And so", "length"), "And so"),
        (answered("Title\n" + LOOP, done=False), "Title\nthe same words again and"),
        (answered("Title" + " jumps19" * 31, done=False), "Title jumps19"),
        (answered("```markdown\nAnd so", "length"), "And so"),
        (answered("<think>And so", "length"), ""),
        (answered("", "length"), ""),
    ],
)
def test_the_partial_text_of_a_bad_answer_has_a_loop_once(answer, part):
    assert part_of(answer) == part


FRONT = "---\nprimary_language: {language}\nis_rotation_valid: {upright}\nrotation_correction: 90\n---\n"


def test_what_the_model_claims_of_the_page_is_kept_beside_its_text():
    page = validate(
        answered(FRONT.format(language="en", upright="True") + "Text"), INKED, REQUEST, [CleanUp.FRONT_MATTER]
    )
    assert (page.text, page.flags) == ("Text", ())
    assert page.claims == {"primary_language": "en", "is_rotation_valid": True, "rotation_correction": 90}


def test_a_page_that_the_model_saw_turned_is_flagged():
    page = validate(
        answered(FRONT.format(language="en", upright="False") + "Text"), INKED, REQUEST, [CleanUp.FRONT_MATTER]
    )
    assert [flag.name for flag in page.flags] == [FlagName.MISREAD]


def test_a_page_without_a_language_has_nothing_to_read():
    page = validate(answered(FRONT.format(language="null", upright="True")), INKED, REQUEST, [CleanUp.FRONT_MATTER])
    assert page.text == ""
    assert "no text" in page.done[0]
