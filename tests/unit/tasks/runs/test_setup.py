"""What is sent for each page, and which stored pages are found again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.core.calls import CleanUp
from tasks.core.errors import InputError, ModelError
from tasks.core.events import Event, RunWarning, subscribe
from tasks.core.jobs import page_identity
from tasks.core.options import Headers, Options, Pictures
from tasks.models.prompts import general_prompt, schema_prompt
from tasks.runs.setup import Setup, choose_setup
from tasks.settings.settings import load_settings

DIGEST = "d" * 64
# As the version before profiles stored pages: of its default prompt, 1288 pixels, 8192 and 4096 tokens.
STORED_BY_DEFAULT = "db289878c6b875a6b4bd549c20a1d9916f0546f5809f6bac9f3b97b80ad8b500"


@pytest.fixture(autouse=True)
def server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEARTH_URL", "http://127.0.0.1:9")


def setup(**requested: object) -> Setup:
    return choose_setup(Options.model_validate(requested), load_settings())


def identity(found: Setup) -> str:
    return page_identity("sha", 1, DIGEST, found.options)


@pytest.mark.parametrize(
    "model", ["qwen2.5vl:7b", "glm-ocr", "LightOnOCR-2-1B", "olmocr-2", "deepseek-ocr:3b", "somebody/else"]
)
def test_pages_stored_before_there_were_profiles_are_found_again(model):
    """Whatever is sent now: a better prompt is asked for with --force."""
    assert identity(setup(model=model)) == STORED_BY_DEFAULT


@pytest.mark.parametrize(
    "options",
    [
        {"prompt": "Read."},
        {"longest_side": 900},
        {"num_ctx": 4096, "num_predict": 2048},
        {"headers": Headers.DROP},
        {"pictures": Pictures.PLACEHOLDER},
        {"json_schema": {"type": "object"}},
        {"profile": "gemma3"},
    ],
)
def test_what_a_person_asks_for_has_pages_read_anew(options):
    assert identity(setup(**options)) != STORED_BY_DEFAULT


def test_a_setting_counts_as_asked_for(monkeypatch):
    monkeypatch.setenv("HEARTH_READ__LONGEST_SIDE", "900")
    found = setup(model="lightonocr-2")
    assert found.call.longest_side == found.options.longest_side == 900


def test_a_model_is_sent_what_its_profile_says():
    call = setup(model="glm-ocr").call
    request = call.request(60)
    assert (call.prompt, call.num_ctx, request.stop) == ("Text Recognition:", 10240, ("```",))
    assert dict(request.sampling) == {"top_k": 1, "repeat_penalty": 1.1}


def test_a_model_trained_on_the_image_alone_gets_no_prompt_and_goes_through_chat():
    call = setup(model="LightOnOCR-2-1B").call
    assert (call.prompt, call.longest_side, call.request(60).chat) == ("", 1540, True)


def test_other_models_get_the_general_prompt():
    assert setup(model="gemma3:12b").call.prompt == general_prompt()
    assert setup(model="gemma3:12b", headers="drop").call.prompt == general_prompt(Headers.DROP)


def test_a_prompt_of_ones_own_wins_over_the_profile():
    assert setup(model="glm-ocr", prompt="Table Recognition:").call.prompt == "Table Recognition:"


def test_a_model_that_cannot_be_read_with_is_refused_before_anything_starts():
    with pytest.raises(InputError, match="DocTags"):
        setup(model="granite-docling:258m")


def test_on_a_server_that_leaves_its_tags_it_is_not_refused(monkeypatch):
    monkeypatch.setenv("HEARTH_URL_API", "openai")
    assert setup(model="granite-docling:258m").call.prompt == "Convert this page to docling."


def test_a_context_that_is_asked_for_leaves_room_for_the_page_whatever_the_profile_says():
    call = setup(model="glm-ocr", num_ctx=4096).call
    assert (call.num_ctx, call.num_predict) == (4096, 2048)


def test_an_answer_as_long_as_the_context_is_refused():
    with pytest.raises(InputError, match="leaves no room"):
        setup(num_ctx=4096, num_predict=4096)


def test_a_profile_of_the_users_own_is_used(monkeypatch, tmp_path: Path):
    (tmp_path / "house.toml").write_text('names = ["house*"]\nlongest_side = 700\n')
    monkeypatch.setenv("HEARTH_READ__PROFILES_DIRECTORY", str(tmp_path))
    assert setup(model="house:1b").call.longest_side == 700


def test_a_profile_that_is_named_wins_over_the_models(monkeypatch):
    monkeypatch.setenv("HEARTH_READ__PROFILE", "deepseek-ocr")
    assert setup(model="gemma3").call.profile.name == "deepseek-ocr"
    assert setup(model="gemma3", profile="glm-ocr").call.prompt == "Text Recognition:"


def test_settings_win_over_a_profile_field_by_field(monkeypatch):
    settings = {"ENDPOINT": "chat", "THINK": "true", "SYSTEM": "Read.", "STOP": '["</page>"]', "CLEAN_UP": '["tables"]'}
    for name, value in {**settings, "SAMPLING": '{"top_p": 0.5}', "TEMPERATURES": "[0.3, 0.6]"}.items():
        monkeypatch.setenv(f"HEARTH_READ__{name}", value)
    call = setup(model="glm-ocr").call
    request = call.request(60)
    assert (request.chat, request.think, request.system, request.stop) == (True, True, "Read.", ("</page>",))
    assert dict(request.sampling) == {"top_k": 1, "top_p": 0.5, "repeat_penalty": 1.1}
    assert [call.profile.temperature(attempt) for attempt in (1, 2, 3)] == [0.3, 0.6, 0.6]
    assert call.profile.clean_up == (CleanUp.TABLES,)


@pytest.mark.parametrize(
    ("name", "value"),
    [("ENDPOINT", "chat"), ("STOP", '["</page>"]'), ("SAMPLING", '{"top_p": 0.5}'), ("SYSTEM", "Read.")],
)
def test_what_the_settings_have_sent_has_pages_read_anew(monkeypatch, name, value):
    monkeypatch.setenv(f"HEARTH_READ__{name}", value)
    assert identity(setup()) != STORED_BY_DEFAULT


def test_other_temperatures_read_no_page_anew(monkeypatch):
    """A temperature belongs to an attempt, not to the request."""
    monkeypatch.setenv("HEARTH_READ__TEMPERATURES", "[0.5]")
    assert identity(setup()) == STORED_BY_DEFAULT


def test_the_servers_word_chooses_the_profile_where_the_models_name_says_nothing():
    found = setup(model="house-model")
    call = found.call_on("deepseekocr", "")
    assert (call.profile.name, call.prompt) == ("deepseek-ocr", "<|grounding|>Convert the document to markdown.")
    assert identity(found) == STORED_BY_DEFAULT


def test_a_server_does_not_overrule_a_name_or_a_person():
    assert setup(model="gemma3").call_on("glmocr", "").profile.name == "gemma3"
    assert setup(model="house-model", profile="general").call_on("glmocr", "").profile.name == "general"


def test_what_a_person_asks_for_wins_over_the_profile_of_the_family():
    call = setup(model="house-model", prompt="Read.", num_ctx=6000).call_on("glmocr", "")
    assert (call.prompt, call.num_ctx, call.num_predict) == ("Read.", 6000, 3000)


def test_images_keep_the_size_in_which_they_may_have_been_rendered_already(monkeypatch, tmp_path: Path):
    (tmp_path / "house.toml").write_text('families = ["house"]\nlongest_side = 700\nclean_up = ["tables"]\n')
    monkeypatch.setenv("HEARTH_READ__PROFILES_DIRECTORY", str(tmp_path))
    call = setup(model="x").call_on("house", "")
    assert (call.profile.name, call.longest_side) == ("house", 1288)


def test_a_family_that_cannot_be_read_with_is_refused(monkeypatch, tmp_path: Path):
    (tmp_path / "house.toml").write_text('families = ["house"]\nrefused = "It sings."\n')
    monkeypatch.setenv("HEARTH_READ__PROFILES_DIRECTORY", str(tmp_path))
    with pytest.raises(ModelError, match="It sings"):
        setup(model="x").call_on("house", "")


# A JSON Schema


def test_pages_are_found_again_by_a_schema_however_it_is_written():
    one = identity(setup(json_schema={"type": "object", "required": ["a"]}))
    assert identity(setup(json_schema='{"required": ["a"],\n "type": "object"}')) == one
    assert identity(setup(json_schema={"type": "object", "required": ["b"]})) != one


def test_an_empty_schema_field_of_a_form_asks_for_text():
    assert identity(setup(json_schema="")) == STORED_BY_DEFAULT


def test_the_schema_is_sent_to_the_server_and_shown_to_the_model():
    call = setup(model="gemma3:12b", json_schema={"type": "object"}).call
    assert call.request(60).schema == '{"type":"object"}'
    assert call.prompt == schema_prompt('{"type":"object"}')


def test_a_prompt_of_ones_own_introduces_the_schema():
    prompt = setup(prompt="These are invoices.", json_schema={"type": "object"}).call.prompt
    assert prompt.startswith("These are invoices.\n")
    assert prompt.endswith('{"type":"object"}')


@pytest.mark.parametrize("model", ["LightOnOCR-2-1B", "deepseek-ocr:3b", "olmocr-2", "tesseract:eng"])
def test_a_model_that_follows_no_instructions_is_refused_a_schema(model: str):
    with pytest.raises(InputError, match=f"The model {model} cannot answer by a JSON Schema: It .* omit the schema"):
        setup(model=model, json_schema={"type": "object"})


def test_the_embedded_engine_is_refused_a_schema_before_it_is_started(monkeypatch):
    monkeypatch.delenv("HEARTH_URL")
    with pytest.raises(InputError, match="It is OCR, without a language model"):
        setup(backend="embedded", json_schema={"type": "object"})


def test_a_model_that_was_trained_on_another_form_is_warned_of():
    events: list[Event] = []
    with subscribe(events.append):
        setup(model="glm-ocr", json_schema={"type": "object"})
        setup(model="glm-ocr")
    (warning,) = (event for event in events if isinstance(event, RunWarning))
    assert "GLM-OCR was trained to extract data by a JSON object with empty values" in warning.message


def test_a_profile_of_the_users_own_decides_for_its_model(monkeypatch, tmp_path: Path):
    (tmp_path / "glm-ocr.toml").write_text('names = ["*glm-ocr*"]\nschema_refused = "We tried it."\n')
    monkeypatch.setenv("HEARTH_READ__PROFILES_DIRECTORY", str(tmp_path))
    with pytest.raises(InputError, match="We tried it"):
        setup(model="glm-ocr", json_schema={"type": "object"})


def test_a_schema_is_refused_where_pages_are_taken_from_their_own_text():
    with pytest.raises(InputError, match="cannot follow --schema"):
        setup(text_layer="auto", json_schema={"type": "object"})
