"""Which model reads documents in other languages than English."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from tasks.core.errors import InputError, LanguageError
from tasks.core.options import Options
from tasks.runs.setup import Setup, choose_setup
from tasks.settings.settings import load_settings


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made-up languages with trained data."""
    for name in ("one", "two"):
        (tmp_path / f"{name}.traineddata").touch()
    monkeypatch.setenv("HEARTH_TESSDATA", str(tmp_path))
    monkeypatch.setenv("HEARTH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HEARTH_URL", "http://127.0.0.1:9")


def setup(**requested: object) -> Setup:
    return choose_setup(Options.model_validate({"backend": "embedded", **requested}), load_settings())


def test_documents_are_english_if_nothing_is_said():
    assert setup().model == "tesseract:eng"
    assert setup().options == setup(languages="eng").options == setup(languages="two+one").options


def test_languages_choose_the_model_in_their_order():
    assert setup(languages="two+one").model == "tesseract:two-one"
    assert setup(languages=" two + one ").model == "tesseract:two-one"


def test_english_by_its_name_is_the_model_that_stored_pages_were_read_with():
    assert setup(languages="eng").model == setup().model


def test_a_setting_chooses_the_languages_of_every_document(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HEARTH_LANGUAGES", "two")
    assert setup().model == "tesseract:two"
    assert setup(languages="one").model == "tesseract:one"
    assert setup(model="tesseract:eng").model == "tesseract:eng"


def test_languages_of_a_request_win_over_a_model_of_the_settings(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HEARTH_MODEL", "qwen2.5vl:7b")
    assert setup(languages="two").model == "tesseract:two"


def test_a_language_without_trained_data_is_refused_with_what_there_is_and_how_to_get_it():
    with pytest.raises(LanguageError) as caught:
        setup(languages="one+nop+zzz_x")
    message = str(caught.value)
    assert "no trained data of Tesseract for nop, zzz_x; it has data for" in message
    assert ", one," in message
    assert "Install tesseract-ocr-nop tesseract-ocr-zzz-x (Debian), or put nop.traineddata" in message
    assert "HEARTH_TESSDATA" in message
    assert caught.value.exit_code == 2


def test_languages_and_another_model_exclude_each_other():
    assert setup(languages="one", model="tesseract:one").model == "tesseract:one"
    with pytest.raises(InputError, match="both choose the model"):
        setup(languages="one", model="tesseract:two")


@pytest.mark.parametrize("backend", ["url", "auto"])
def test_a_vision_model_takes_no_languages(backend: str):
    with pytest.raises(InputError, match=r"backend url takes no languages .*Leave --languages out"):
        setup(languages="one", backend=backend)


def test_a_setting_for_the_embedded_server_does_not_concern_a_vision_model(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HEARTH_LANGUAGES", "two")
    assert setup(backend="url", model="qwen2.5vl:7b").model == "qwen2.5vl:7b"


@pytest.mark.parametrize("languages", ["deu;eng", "deu,eng", "+", "deu+", "../deu", "d" * 90, "deu-eng"])
def test_languages_that_are_written_otherwise_are_refused(languages: str, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ValidationError, match="such as deu\\+eng"):
        Options(languages=languages)
    monkeypatch.setenv("HEARTH_LANGUAGES", languages)
    with pytest.raises(InputError, match="HEARTH_LANGUAGES is wrong"):
        load_settings()
