"""`hearth read --languages`, the whole way."""

from __future__ import annotations

import shutil

from tasks.embedded.languages import TrainedData
from tests.support.languages import page, require_data

EMBEDDED = ("--backend", "embedded")


def test_a_document_is_read_in_the_language_that_is_named(hearth, tmp_path):
    require_data("deu")
    path, output = page(tmp_path / "brief.pdf", "deu", times=1), ("--output", tmp_path / "out")
    flagged = hearth.read(path, *EMBEDDED, *output)
    english = flagged.document
    assert "reads like German (deu), but it was read as eng" in flagged.json["flagged_pages"]["1"][0]
    assert "page 1 flagged: language: Its text reads like German" in hearth("read", path, *EMBEDDED, *output).err
    german = hearth.read(path, *EMBEDDED, *output, "--languages", "deu+eng")
    assert (german.code, german.manifest["model"]) == (0, "tesseract:deu-eng")
    assert (german.json["flagged_pages"], "Grüße" in german.document) == ({}, True)
    assert "Grüße" not in english
    again = hearth.read(path, *EMBEDDED, *output, "--languages", "deu+eng")
    assert again.json["read_now"] == 0


def test_data_in_a_directory_of_the_settings_is_used(hearth, tmp_path):
    shutil.copy(TrainedData().find("eng"), tmp_path / "mine.traineddata")
    path = page(tmp_path / "letter.pdf", "eng", times=1)
    done = hearth.read(path, *EMBEDDED, "--languages", "mine", HEARTH_TESSDATA=str(tmp_path))
    assert (done.code, done.manifest["model"]) == (0, "tesseract:mine")
    assert "bread with butter" in done.document


def test_a_language_without_data_is_refused_before_a_page_is_read(hearth, tmp_path):
    done = hearth.read(page(tmp_path / "letter.pdf", "eng", times=1), *EMBEDDED, "--languages", "eng+nop")
    assert (done.code, "no trained data of Tesseract for nop" in done.err) == (2, True)
    assert not (tmp_path / "results").exists()


def test_the_check_names_the_languages_that_there_are_and_those_that_are_missing(hearth):
    assert "Languages with trained data: " in str(hearth("check", "--json", *EMBEDDED).json)
    missing = hearth("check", "--json", *EMBEDDED, HEARTH_LANGUAGES="nop")
    assert (missing.code, "no trained data of Tesseract for nop" in str(missing.json)) == (1, True)
