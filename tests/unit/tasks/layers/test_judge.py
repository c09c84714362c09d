"""Whether a text layer may stand for its page, by its text and its figures."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.documents.answers import LayerFacts
from tasks.layers.judge import Verdict, judge
from tasks.text.language import likeness
from tests.support.layers import PROSE

TEXT = "".join(PROSE)
LETTERS = string.ascii_lowercase


def facts(**changes: object) -> LayerFacts:
    figures: dict[str, object] = dict.fromkeys(("hidden", "tiny", "vertical", "turned", "without_ink"), 0)
    figures |= dict.fromkeys(("unexplained", "over_pictures", "pictures"), 0.0)
    figures |= {"size": 0, "truncated": False, "blank": False, "characters": 240, "fonts": (TEXT,), "flags": ()}
    return LayerFacts.model_validate({**figures, **changes})


def judged(text: str = TEXT, **changes: object) -> Verdict:
    return judge(text, facts(**{"fonts": (text,), **changes}))


def exchanged(text: str, alphabet: str) -> str:
    return text.lower().translate(str.maketrans(LETTERS, alphabet))


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", TEXT),
        ("de", "Der Bäcker heizt den Ofen einmal am Tag, denn der Stein hält die Wärme, und das Holz ist bezahlt. "),
        ("fr", "Le boulanger allume son four une fois par jour, parce que la pierre garde la chaleur de la nuit. "),
        ("ru", "Пекарь топит печь один раз в день, потому что камень хранит тепло, и за дрова заплачено один раз. "),
        ("el", "Ο φούρναρης ανάβει τον φούρνο μία φορά την ημέρα, γιατί η πέτρα κρατάει τη ζέστη για το ψωμί. "),
        ("zh", "我们的面包师每天只生一次火,因为石头会留住热,所以他不用为了每一个面包再生一次火。这是大家都知道的事。"),
        (
            "ja",
            "パン屋は一日に一度だけ窯に火を入れます。石が熱を保つので、薪の代金は一度で済むのです。",
        ),
    ],
)
def test_text_of_a_known_language_is_sound(language, text):
    assert judged(text * 2).sound
    assert likeness(text * 2).language == language


@given(st.permutations(LETTERS).map("".join))
def test_text_with_exchanged_letters_is_not_sound(alphabet):
    moved = sum(one != other for one, other in zip(LETTERS, alphabet, strict=True))
    text = exchanged(TEXT, alphabet)
    if moved > 13:
        assert not judged(text).sound


@pytest.mark.parametrize("by", range(1, 26))
def test_shifted_letters_are_not_sound(by):
    assert not judged(exchanged(TEXT, LETTERS[by:] + LETTERS[:by])).sound


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"hidden": 1}, "invisible"),
        ({"without_ink": 9}, "not to be seen"),
        ({"unexplained": 0.2}, "what looks like print is not in it"),
        ({"over_pictures": 0.5}, "stand on a picture"),
        ({"tiny": 3}, "smaller than 3 points"),
        ({"vertical": 3}, "vertical writing"),
        ({"turned": 120}, "runs in another direction"),
        ({"truncated": True}, "more text than is taken"),
        ({"flags": (("damaged", "a part is missing"),)}, "flagged: damaged"),
    ],
)
def test_a_page_that_shows_something_else_than_its_text_is_not_sound(changes, why):
    verdict = judged(**changes)
    assert (verdict.sound, verdict.is_language) == (False, True)
    assert why in verdict.why


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no text layer"),
        ("Page 7", "too few words"),
        (f"{TEXT} \ue001", "no meaning"),
        (f"{TEXT} \ufffd", "no meaning"),
        (f"{TEXT} cafÃ© naÃ¯ve", "decoded wrongly"),
        (TEXT.replace("e", "E"), "capitals stand within"),
        (f"{TEXT} שלום וברכה לכולם", "script that is not judged"),
    ],
)
def test_text_that_may_be_wrong_is_not_sound(text, why):
    verdict = judged(text)
    assert (verdict.sound, verdict.is_language) == (False, False)
    assert why in verdict.why


def test_one_font_with_a_wrong_encoding_is_enough():
    garbled = exchanged(TEXT[:90], LETTERS[7:] + LETTERS[:7])
    verdict = judge(TEXT * 9 + garbled, facts(fonts=(TEXT, garbled)))
    assert not verdict.sound
    assert "one of its fonts" in verdict.why


def test_a_page_on_which_nothing_is_drawn_is_blank():
    verdict = judge("", facts(blank=True, characters=0, fonts=()))
    assert (verdict.sound, verdict.is_blank) == (True, True)


@given(st.text(max_size=300), st.floats(0, 1), st.integers(0, 500))
def test_any_text_and_figures_get_a_score(text, part, count):
    verdict = judged(text, unexplained=part, hidden=count, without_ink=count)
    assert 0 <= verdict.score <= 1
    assert verdict.why
