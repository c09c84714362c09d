"""What is sent for each page, and which stored pages are found again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.core.errors import InputError
from tasks.core.jobs import page_identity
from tasks.core.options import Headers, Options, Pictures
from tasks.models.prompts import general_prompt
from tasks.runs.prepare import Setup, choose_setup
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
