"""What models write around a page's text, and what of a page looks like it and stays."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.flags import FlagName
from tasks.reading.clean import clean, is_refusal, is_unfinished_thought

PAGE = "# Invoice\n\n| a | b |\n|---|---|\n| 1 | 2 |"


@pytest.mark.parametrize(
    "answer",
    [
        f"```markdown\n{PAGE}\n```",
        f"```md\n{PAGE}\n```\n",
        f"\n```\n{PAGE}\n```",
        f"````markdown\n{PAGE}\n````",
        f"~~~\n{PAGE}\n~~~",
        f"```markdown\n{PAGE}",
        f"{PAGE}<|im_end|>",
        f"{PAGE}\n<|endoftext|></s>\n",
    ],
)
def test_fences_and_signs_of_the_end_are_taken_away_without_a_word(answer):
    found = clean(answer)
    assert (found.text, found.flags) == (PAGE, ())


def test_a_page_in_several_fences_is_one_text():
    assert clean("```markdown\nA\n```\n\nB\n\n```markdown\nC\n```").text == "A\n\nB\n\nC"


@pytest.mark.parametrize(
    "text",
    [
        "```python\nprint(1)\n```",
        "Run this:\n\n```\nmake\n```\n\nand wait.",
        "```\na\n```\n\nand\n\n```\nb\n```",
    ],
)
def test_fences_of_the_page_itself_stay(text):
    assert clean(text).text == text


def test_fences_within_the_fence_stay():
    assert clean("```markdown\nA\n\n```python\nx = 1\n```\n\nB\n```").text == "A\n\n```python\nx = 1\n```\n\nB"


@pytest.mark.parametrize(
    "preface",
    [
        "Sure! Here is the transcription of the page:\n\n",
        "Sure! Here is the text: ",
        "Sure! Here's the text from the image\n\n",
        "Certainly! Below is the transcribed text:\n\n---\n\n",
        "Here\u2019s the Markdown transcription of the page image:\n\n",
        "Here is the text:\n\n",
        "**Transcription:**\n\n",
        "The text in the image reads:\n\n",
        "The transcribed text is as follows:\n\n",
        "Okay, I'll transcribe the page for you.\n\n",
        "Sure, I can help with that. Here's the text from the image:\n\n",
        "I have transcribed the text of the page as Markdown:\n\n",
    ],
)
def test_a_preface_is_taken_out_and_flagged(preface):
    found = clean(preface + PAGE)
    assert found.text == PAGE
    assert [flag.name for flag in found.flags] == [FlagName.CLEANED]


def test_a_preface_a_fence_and_closing_words_all_go():
    answer = f"Of course! Here is the content:\n\n```markdown\n{PAGE}\n```\n\nLet me know if you need anything else!"
    assert clean(answer).text == PAGE


@pytest.mark.parametrize(
    "text",
    [
        "Here is the news of the day: rain.",
        "Here is the text of the amendment:\n\nArticle 1",
        "Great Expectations\n\nText: Charles Dickens",
        "Sure-fire ways to convert: one",
        "This is a transcription of the trial of John Doe:\n\nQ. Where were you?",
        "Okay\n\nThe page is fine: yes",
        "Contents:\n\n1. Text",
        "Let me know if you come.\nYours, A.",
        "He wrote <think> and </think> in the margin.",
    ],
)
def test_a_page_that_begins_or_ends_alike_stays(text):
    assert clean(text).text == text


def test_what_a_model_thought_is_taken_out_and_flagged():
    found = clean(f"<think>\nHm, a page.\n</think>\n\n{PAGE}")
    assert found.text == PAGE
    assert "13 characters of thinking" in found.flags[0].detail


@pytest.mark.parametrize("answer", ["<think>Hm, a page", "\n<THINK>", "<thinking>\nHm"])
def test_a_thought_that_does_not_end_is_all_of_an_answer(answer):
    assert is_unfinished_thought(answer)
    assert not is_unfinished_thought(PAGE + answer)


def test_what_could_not_be_decoded_is_flagged():
    (flag,) = clean("a\ufffdb\ufffd").flags
    assert flag.detail == "2 characters that could not be decoded"


def test_lines_end_as_in_markdown_files():
    assert clean("# Beds\r\nIn rows").text == "# Beds\nIn rows"


@given(
    st.text(st.characters(codec="utf-8", exclude_characters="`~<\r\ufffd"), max_size=200).map(lambda text: f"# {text}")
)
def test_a_page_that_begins_with_a_heading_stays_as_it_is(text):
    assert clean(text).text in {text.strip(), text.rpartition("\n")[0].strip()}


REFUSALS = [
    "I'm sorry, I can't assist with that request.",
    "I\u2019m sorry, but I can\u2019t help with transcribing this document.",
    "I am very sorry, but I am unable to read this.",
    "Sorry, I can't process this.",
    "I cannot transcribe this image.",
    "I'm unable to read the text in this image because it is too blurry.",
    "Unfortunately, I am not able to view images directly.",
    "I apologize, but I cannot provide a transcription.",
    "As an AI language model, I cannot see images.",
    "I do not have the ability to view images.",
    "Please provide the image you would like me to transcribe.",
    "It seems that no image was provided. Please upload it.",
    "I don't see any image attached.",
    "There is no text in the image.",
]


@pytest.mark.parametrize("answer", REFUSALS)
def test_a_refusal_is_told_from_a_page(answer):
    assert is_refusal(answer)


@pytest.mark.parametrize(
    "text",
    [
        "I am sorry for your loss. We cannot come on Sunday, but will visit.",
        "I'm sorry I can't come to the party on Friday.",
        "I cannot believe that summer is over.",
        "Dear Sir,\n\nI'm sorry, I can't read your letter.",
        "No document was found guilty.",
        "Please send the document to the court.",
        "There is no text like an old text.",
        "I'm sorry, I can't help with that, she said.\n\n" + "And then the story went on and on. " * 30,
        PAGE,
    ],
)
def test_a_page_that_says_something_alike_is_no_refusal(text):
    assert not is_refusal(text)


@pytest.mark.parametrize(
    "text", ["\n" * 100_000, "<|" * 50_000, "Sure! " + "a " * 50_000, "```\n" * 25_000, "<think>" * 9_000]
)
def test_long_answers_are_cleaned_at_once(text):
    began = time.thread_time()
    clean(text)
    is_refusal(text)
    assert time.thread_time() - began < 2
