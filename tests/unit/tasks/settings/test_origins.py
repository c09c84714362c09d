"""Where a setting comes from, and what is told of a working directory before a run."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from tasks.settings.origins import Origin, Source, notes, origins, unit_of
from tasks.settings.settings import Settings, load_settings

SECRETS = {
    "HEARTH_URL": "http://user:s3cret@far.example:11434/?key=s3cret",
    "HEARTH_URL_TOKEN": "s3cret-of-the-server",
    "HEARTH_URL_HEADERS": '{"X-Api-Key": "s3cret"}',
    "HEARTH_TRIGGER__PREFECT_URL": "https://u:s3cret@prefect.example/api",
    "HEARTH_METRICS__OTLP": "http://u:s3cret@collector:4318",
    "PREFECT_API_KEY": "s3cret",
    "PREFECT_API_AUTH_STRING": "admin:s3cret",
    "PREFECT_CLIENT_CUSTOM_HEADERS": '{"a": "s3cret"}',
    "API_TOKEN": "s3cret-of-the-api-1",
    "API_WEBHOOK_SECRET": "s3cret-of-the-hooks",
}


def found(**options: object) -> dict[str, Origin]:
    return {each.name: each for each in origins(load_settings(), "HEARTH_", options)}


def written(**settings: str) -> None:
    Path(".env").write_text("".join(f"{name}='{value}'\n" for name, value in settings.items()))


def test_every_setting_is_listed_with_its_default():
    def count(model: type[BaseModel]) -> int:
        inner = [field.annotation for field in model.model_fields.values()]
        return sum(count(each) if isinstance(each, type) and issubclass(each, BaseModel) else 1 for each in inner)

    settings = found()
    assert len(settings) == count(Settings)
    assert {each.source for name, each in settings.items() if name != "HEARTH_HOME"} == {Source.DEFAULT}
    assert settings["HEARTH_READ__NUM_CTX"].default == settings["HEARTH_READ__NUM_CTX"].value == "8192"


def test_an_option_overrides_the_environment_which_overrides_the_file(monkeypatch: pytest.MonkeyPatch):
    written(HEARTH_MODEL="file", HEARTH_SLOTS="3", HEARTH_BACKEND="url")
    monkeypatch.setenv("HEARTH_MODEL", "environment")
    monkeypatch.setenv("HEARTH_BACKEND", "ollama")
    settings = found(HEARTH_BACKEND="ec2", HEARTH_OUTPUT=None)
    facts = {name: (each.value, each.source) for name, each in settings.items()}
    assert (
        facts.items()
        >= {
            "HEARTH_MODEL": ("environment", Source.ENVIRONMENT),
            "HEARTH_SLOTS": ("3", Source.ENV_FILE),
            "HEARTH_BACKEND": ("ec2", Source.OPTION),
        }.items()
    )
    assert settings["HEARTH_SLOTS"].where == f"HEARTH_SLOTS in {Path('.env').absolute()}"


@pytest.mark.parametrize("name", ["HEARTH_URL", "LLAMA_API_URL", "OLLAMA_HOST"])
def test_the_variable_that_was_read_is_named(monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.setenv(name, "http://far.example:1")
    assert (found()["HEARTH_URL"].source, found()["HEARTH_URL"].where) == (Source.ENVIRONMENT, name)


def test_a_section_as_json_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HEARTH_METRICS", '{"flush_seconds": 5}')
    setting = found()["HEARTH_METRICS__FLUSH_SECONDS"]
    assert (setting.value, setting.source, setting.where) == ("5.0", Source.ENVIRONMENT, "HEARTH_METRICS")


def test_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch):
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    told = " ".join(f"{each.value} {each.default}" for each in found().values())
    assert "s3cret" not in told
    assert "http://far.example:11434/" in told
    assert "X-Api-Key" in told


def test_the_note_names_settings_that_send_pages_or_cost_money_and_no_secret():
    written(**SECRETS, HEARTH_BACKEND="ec2", HEARTH_EC2__TYPES='["p5.48xlarge"]', HEARTH_READ__NUM_CTX="4096")
    (note,) = notes()
    assert note.startswith(f"{Path('.env').absolute()} sets ")
    for name in (*SECRETS, "HEARTH_BACKEND=ec2", 'HEARTH_EC2__TYPES=["p5.48xlarge"]'):
        assert name in note
    assert "s3cret" not in note
    assert "NUM_CTX" not in note
    assert "\n" not in note


def test_a_setting_that_the_environment_overrides_is_not_noted(monkeypatch: pytest.MonkeyPatch):
    written(HEARTH_URL="http://theirs.example")
    monkeypatch.setenv("HEARTH_URL", "http://mine.example")
    assert notes() == []


@pytest.mark.parametrize("name", ["LLAMA_API_URL", "OLLAMA_HOST", "llama_api_url", "hearth_backend"])
def test_other_spellings_are_noted_too(name: str):
    written(**{name: "url"})
    assert f"sets {name}=url." in notes()[0]


def test_variables_of_other_programs_are_not_noted():
    written(DATABASE_URL="postgres://x", DEBUG="1", AWS_PROFILE="x", HTTP_PROXY="http://x")
    assert notes() == []


def test_ignored_files_of_prefect_are_noted(monkeypatch: pytest.MonkeyPatch):
    Path("prefect.toml").touch()
    Path("pyproject.toml").write_text('[tool.ruff]\n[ tool . prefect ]\nhome = "x"\n')
    written(PREFECT_HOME="/theirs")
    (note,) = notes()
    assert "prefect.toml, pyproject.toml, PREFECT_HOME in .env. Set HEARTH_TRUST_DIRECTORY=1 " in note
    monkeypatch.setenv("HEARTH_TRUST_DIRECTORY", "1")
    assert notes() == [f"{Path('.env').absolute()} sets PREFECT_HOME=/theirs."]


def test_a_pyproject_without_prefect_is_not_noted():
    Path("pyproject.toml").write_text("[tool.ruff]\n# [tool.prefect]\n")
    assert notes() == []


@given(value=st.text(st.characters(exclude_characters="'\\\0\r\n", exclude_categories=["Cs"]), max_size=300))
def test_a_long_value_is_cut(value: str):
    os.environ.pop("HEARTH_MODEL", None)
    written(HEARTH_MODEL=value)
    assert all(len(note) < 400 and "\n" not in note for note in notes())
    Path(".env").unlink()


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("HEARTH_IDLE_MINUTES", "minutes"),
        ("HEARTH_EC2__MAX_PRICE", "USD per hour"),
        ("HEARTH_READ__NUM_CTX", "tokens"),
        ("HEARTH_LIMITS__FILE_MB", "MB"),
        ("HEARTH_MONITORING__USD_PER_HOUR", "USD per hour"),
        ("HEARTH_EC2__MAX_USD_A_DAY", "USD"),
        ("HEARTH_MODEL", ""),
    ],
)
def test_the_unit_follows_from_the_end_of_the_name(name: str, unit: str):
    assert unit_of(name) == unit


def test_origins_can_be_written_as_json():
    assert json.loads(json.dumps([each.value for each in found().values()]))
