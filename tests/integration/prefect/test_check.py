"""`hearth check`: what a run would use, and what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import Hearth, Outcome
from tests.support.ollama.scripted import ScriptedOllama

pytestmark = pytest.mark.long("each test runs the command: 1 to 3 s")

NO_AWS = {
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
}


@pytest.fixture
def checked(hearth: Hearth):
    def run(*arguments: str, **environment: str) -> Outcome:
        return hearth("check", "--json", *arguments, **{**NO_AWS, **environment})

    return run


def states(outcome: Outcome, of: str) -> list[tuple[str, str]]:
    found: list[dict[str, Any]] = outcome.json["checks"]
    return [(each["state"], f"{each['why']} {each['remedy'] or ''}") for each in found if each["of"] == of]


@pytest.mark.always
def test_without_settings_the_embedded_server_would_be_used(checked):
    outcome = checked()
    assert (outcome.code, outcome.json["backend"], outcome.json["usable"]) == (0, "embedded", True), outcome.err
    assert states(outcome, "embedded")[0][0] == "ok"
    assert "tesseract:eng reads with /" in states(outcome, "embedded")[0][1]


@pytest.mark.always
def test_every_backend_has_a_line_with_a_remedy(checked):
    outcome = checked()
    for backend in ("url", "ollama", "ec2", "ecs", "sagemaker"):
        (state, told), *_ = states(outcome, backend)
        assert state == "missing"
        assert any(word in told for word in ("Set ", "Install ")), told


def test_a_requested_backend_that_is_missing_exits_with_1(checked):
    assert checked("--backend", "ollama").code == 1
    assert checked("--backend", "url").code == 1
    assert checked("--backend", "ec2").code == 1


def test_the_check_starts_and_writes_nothing(hearth: Hearth, checked, tmp_path: Path):
    cold = tmp_path / "cold"
    outcome = checked(HEARTH_HOME=str(cold), HEARTH_OUTPUT=str(tmp_path / "out" / "deep"))
    assert outcome.code == 0
    assert not cold.exists()
    assert not (tmp_path / "out").exists()


def test_an_unwritable_output_is_missing(checked, tmp_path: Path):
    (tmp_path / "file").write_text("no directory")
    outcome = checked(HEARTH_OUTPUT=str(tmp_path / "file" / "results"))
    assert outcome.code == 1
    assert states(outcome, "output")[0][0] == "missing"


def test_a_prefect_server_that_does_not_answer_is_missing(checked):
    outcome = checked(PREFECT_API_URL="http://127.0.0.1:9/api")
    assert outcome.code == 1
    assert "does not answer at http://127.0.0.1:9/api" in states(outcome, "prefect")[0][1]


def test_a_prefect_server_that_answers_shows_its_version(checked):
    assert states(checked(), "prefect")[0][0] == "ok"


def test_a_configured_server_shows_its_version_and_the_model(checked, server: ScriptedOllama):
    outcome = checked(HEARTH_URL=server.url)
    assert (outcome.code, outcome.json["backend"]) == (0, "url"), outcome.out
    assert f"answers at {server.url}" in states(outcome, "url")[0][1]
    assert "model" in states(outcome, "url")[1][1]


def test_a_configured_server_that_is_gone_is_missing(checked):
    outcome = checked(HEARTH_URL="http://127.0.0.1:9")
    assert (outcome.code, states(outcome, "url")[0][0]) == (1, "missing")


def test_a_model_that_the_embedded_server_does_not_have_is_missing(checked):
    outcome = checked("--backend", "embedded", "--model", "qwen2.5vl:7b")
    assert (outcome.code, states(outcome, "embedded")[0][0]) == (1, "missing")


def test_without_json_the_result_is_a_table_of_80_columns(hearth: Hearth):
    out = hearth("check", **NO_AWS).out
    assert "A run would use embedded" in out
    assert "A run could read now." in out
    assert all(len(line) <= 80 for line in out.splitlines() if "/" not in line)
