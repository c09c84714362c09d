"""Which profile a model gets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.calls import CleanUp, Endpoint
from tasks.core.errors import InputError
from tasks.models.catalog import find_profile, named_profile, profile_by_server, profiles
from tasks.models.profile import Profile

SHIPPED = profiles()


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("qwen2.5vl:7b", "qwen2.5vl"),
        ("Qwen/Qwen2.5-VL-7B-Instruct", "qwen2.5vl"),
        ("qwen2.5-vl-7b-instruct", "qwen2.5vl"),
        ("qwen3-vl:8b-instruct", "qwen3-vl"),
        ("hf.co/allenai/olmOCR-2-7B-1025-GGUF:Q8_0", "olmocr-2"),
        ("richardyoung/olmocr2:7b-q8", "olmocr-2"),
        ("LightOnOCR-2-1B-Q8_0.gguf", "lightonocr-2"),
        ("localhost:5000/team/glm-ocr:latest", "glm-ocr"),
        ("deepseek-ocr:3b", "deepseek-ocr"),
        ("gemma3:12b", "gemma3"),
        ("google/gemma-4-e4b", "gemma4"),
        ("mistral-small3.2:24b", "mistral-small"),
        ("llama3.2-vision:11b", "llama3.2-vision"),
        ("meta-llama/Llama-3.2-11B-Vision-Instruct", "llama3.2-vision"),
        ("minicpm-v:8b", "minicpm-v"),
        ("ibm/granite-docling:258m", "granite-docling"),
        ("tesseract", "tesseract"),
        ("somebody/else:1b", "general"),
    ],
)
def test_a_model_gets_its_profile_by_name_however_it_is_written(model, name):
    assert find_profile(model).name == name


def test_an_unknown_name_gets_the_profile_of_its_family():
    assert profile_by_server("qwen25vl", "").name == "qwen2.5vl"


def test_the_name_of_its_weights_wins_over_a_family():
    """olmOCR 2 is a Qwen2.5-VL by family."""
    assert profile_by_server("qwen25vl", "allenai/olmOCR-2-7B-1025").name == "olmocr-2"
    assert profile_by_server("", "/models/DeepSeek-OCR-Q8_0.gguf").name == "deepseek-ocr"


def test_a_family_that_nobody_knows_gets_the_general_profile():
    assert profile_by_server("llama", "chain.gguf").name == "general"


def test_a_profile_is_found_by_its_own_name():
    assert named_profile("olmocr-2").longest_side == 1288


def test_a_profile_that_does_not_exist_is_named_with_those_that_do():
    with pytest.raises(InputError, match=r"no profile 'olm'.*olmocr-2"):
        named_profile("olm")


@pytest.mark.parametrize("profile", SHIPPED.values(), ids=list(SHIPPED))
def test_each_shipped_profile_cites_its_source_and_says_what_was_never_run(profile):
    assert profile.title
    assert profile.sources
    assert profile.tried


def test_a_model_trained_on_the_image_alone_has_an_empty_prompt():
    profile = find_profile("LightOnOCR-2-1B")
    assert (profile.prompt, profile.endpoint) == ("", Endpoint.CHAT)


def test_a_model_that_cannot_be_read_with_names_why():
    assert "DocTags" in (find_profile("granite-docling:258m").refused or "")


def test_a_profile_of_the_users_own_is_found_and_replaces_a_shipped_one(tmp_path):
    (tmp_path / "house.toml").write_text('names = ["house-model*"]\nlongest_side = 900\nclean_up = ["math"]\n')
    (tmp_path / "glm-ocr.toml").write_text('names = ["*glm-ocr*"]\nprompt = "Read it."\nlicence = "own"\n')
    assert find_profile("house-model:1b", directory=tmp_path).longest_side == 900
    assert find_profile("glm-ocr", directory=tmp_path).prompt == "Read it."
    assert find_profile("deepseek-ocr", directory=tmp_path).clean_up[0] is CleanUp.GROUNDING


def test_a_users_pattern_wins_over_a_shipped_one_of_the_same_length(tmp_path):
    (tmp_path / "mine.toml").write_text('names = ["qwen2.5vl*"]\nlongest_side = 1000\n')
    assert find_profile("qwen2.5vl:7b", directory=tmp_path).name == "mine"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("names = [", "cannot be read"),
        ('prompt = "x"', "licence"),
        ("longest_side = 3", "longest_side"),
        ('colour = "red"', "colour"),
        ("num_ctx = 1000\nnum_predict = 2000", "no room"),
        ('clean_up = ["polish"]', "clean_up.0"),
        ("temperatures = [3.0]", "temperatures.0"),
    ],
)
def test_a_profile_that_is_not_valid_is_named_with_its_field(tmp_path, text, named):
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(InputError, match=r"bad\.toml") as raised:
        profiles(tmp_path)
    assert named in str(raised.value)


def test_a_large_file_is_refused_before_it_is_parsed(tmp_path):
    (tmp_path / "film.toml").write_bytes(b"#" * 200_000)
    with pytest.raises(InputError, match="larger than 100 kB"):
        profiles(tmp_path)


def test_a_directory_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(InputError, match="no directory of profiles"):
        profiles(tmp_path / "nowhere")


def test_temperatures_follow_the_profiles_ladder_and_stay_on_its_last_step():
    profile = find_profile("olmocr-2")
    assert [profile.temperature(attempt) for attempt in (1, 2, 3, 8, 20)] == [0.1, 0.1, 0.2, 1.0, 1.0]


def test_without_a_ladder_the_temperature_rises_by_a_fifth():
    assert [Profile(name="x").temperature(attempt) for attempt in (1, 2, 6, 9)] == [0.0, 0.2, 1.0, 1.0]


@given(st.integers(1, 30))
def test_each_further_attempt_is_hotter_up_to_1(attempt):
    profile = Profile(name="x")
    assert profile.temperature(attempt) < profile.temperature(attempt + 1) or profile.temperature(attempt) == 1
