"""A page in another language than it was read in is flagged; its own language never is."""

from __future__ import annotations

import pytest

from tasks.core.flags import FlagName
from tasks.reading.foreign import foreign_flag, languages_read
from tests.support.languages import TEXTS

# As the English model of Tesseract reads them.
GERMAN = (
    "Die Miihle am Fluss steht seit Jahren still, doch jeden Herbst 6ffnet der alte Miiller ihre Tiiren. Er zeigt den "
    "Kindern, wie das Wasser das groRe Rad antreibt, wie die Steine sich drehen und wie aus Kornern Mehl entsteht."
)
RUSSIAN = (
    "Menbunya Y peKH CTOHT yxXe MHOPLO JIeT, HO KAKAYIO OCCHb cTapbili MCJIBHHK OTKPBIBaeT eé ABepH. OH TloKa3bIBaeT "
    "AeCTAM, Kak BOJja BpalljaeT OobI0e KOJIeCO, KaAK KPYTATCA KAMHH H KaK H3 3epHa MouyyaeTcaA MyKa."
)
BASQUE = (
    "Ibaiaren ondoko errota geldirik dago aspaldiko urteetan, baina udazkenero errotari zaharrak bere ateak irekitzen "
    "ditu. Haurrei erakusten die nola urak gurpil handia mugitzen duen, nola harriak biratzen diren eta nola aletik "
    "irina ateratzen den. Gero ogia eta eztia izaten da guztientzat, eta nahi duena iluntzera arte geratu daiteke. "
    "Inork ez du ezer ordaindu behar."
)


def detail(text: str, *languages: str) -> str:
    flag = foreign_flag(text, languages)
    return flag.detail if flag else ""


@pytest.mark.parametrize("language", TEXTS)
def test_text_in_the_language_it_was_read_in_is_not_flagged(language):
    assert foreign_flag(TEXTS[language], (language,)) is None
    assert foreign_flag(TEXTS[language], ("eng", language)) is None


@pytest.mark.parametrize(
    ("language", "name"),
    [("deu", "German"), ("fra", "French"), ("spa", "Spanish"), ("ita", "Italian"), ("pol", "Polish")],
)
def test_another_language_in_latin_letters_is_named(language, name):
    flag = foreign_flag(TEXTS[language], ("eng",))
    assert flag.name is FlagName.LANGUAGE
    assert f"Its text reads like {name} ({language}), but it was read as eng." in flag.detail
    assert "--languages" in flag.detail


def test_english_is_foreign_where_german_was_named():
    assert "reads like English (eng), but it was read as deu" in detail(TEXTS["eng"], "deu")


def test_german_that_lost_its_umlauts_is_german():
    assert "reads like German" in detail(GERMAN, "eng")


def test_letters_that_were_made_of_another_script_are_like_no_language():
    assert "not like eng: " in detail(RUSSIAN, "eng")


def test_text_without_common_words_of_the_language_is_not_like_it():
    assert "not like eng: " in detail(BASQUE, "eng")


def test_chinese_is_foreign_where_korean_was_named():
    assert "reads like Chinese" in detail(TEXTS["chi_sim"], "kor")
    assert detail(TEXTS["chi_sim"], "jpn") == ""


def test_a_paragraph_in_another_language_is_found_in_an_english_page():
    page = f"{TEXTS['eng']}\n\n{TEXTS['eng']}\n\n{GERMAN}\n\n{TEXTS['eng']}"
    assert "A part of it reads like German (deu)" in detail(page, "eng")


@pytest.mark.parametrize("text", ["", "Grüße aus Köln", "12.50 | 13.20 | 18.00", "GMBH & CO KG", "A B C D E F " * 30])
def test_nothing_is_told_of_a_few_words_or_of_numbers(text):
    assert detail(text, "eng") == ""


@pytest.mark.parametrize("languages", [(), ("Latin",), ("eng", "vie"), ("mine",)])
def test_nothing_is_told_where_a_language_is_not_known_here(languages):
    assert detail(TEXTS["deu"], *languages) == ""


def test_the_languages_are_those_of_the_model():
    assert languages_read("tesseract:deu-eng") == ("deu", "eng")
    assert languages_read("tesseract") == ("eng",)
    assert languages_read("qwen2.5vl:7b") == languages_read("not a name!") == ()
