"""The general prompt."""

from __future__ import annotations

from tasks.core.options import Headers, Pictures
from tasks.models.prompts import NO_TEXT, general_prompt


def test_the_general_prompt_asks_for_what_a_page_may_hold():
    prompt = general_prompt()
    for wanted in ("reading order", "headings", "lists", "HTML", "LaTeX", "handwriting", "footnotes", "unfinished"):
        assert wanted in prompt
    assert NO_TEXT in prompt


def test_running_headers_are_kept_or_left_out():
    assert "Keep running headers" in general_prompt()
    assert "Leave out running headers" in general_prompt(Headers.DROP)


def test_pictures_leave_a_line_only_if_asked():
    assert "(picture)" not in general_prompt()
    assert "(picture)" in general_prompt(pictures=Pictures.PLACEHOLDER)
