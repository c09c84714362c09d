"""What the environment may say, and what it is told when it says something else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.core.errors import InputError
from tasks.settings.ec2 import SpotPolicy
from tasks.settings.settings import load_settings


def test_a_nested_setting_is_written_with_two_underscores(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HEARTH_EC2__SPOT_POLICY", "on_demand")
    assert load_settings().ec2.spot_policy is SpotPolicy.ON_DEMAND


def test_a_list_is_written_as_json(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HEARTH_EC2__TYPES", '["g5.xlarge", "c5.2xlarge"]')
    assert load_settings().ec2.types == ("g5.xlarge", "c5.2xlarge")


@pytest.mark.parametrize("name", ["HEARTH_EC2__SPOTPOLICY", "HEARTH_IDLE", "HEARTH_EC3__POOL"])
def test_a_misspelt_setting_is_an_error_and_not_a_default(monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.setenv(name, "1")
    with pytest.raises(InputError, match=f"There is no setting {name}"):
        load_settings()


def test_a_variable_of_the_embedded_server_is_accepted(monkeypatch: pytest.MonkeyPatch):
    without = load_settings()
    monkeypatch.setenv("HEARTH_EMBEDDED_MODELS", "/somewhere")
    assert load_settings() == without


def test_a_value_out_of_bounds_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HEARTH_EC2__MAX_PRICE", "-1")
    with pytest.raises(InputError, match="HEARTH_EC2__MAX_PRICE is wrong"):
        load_settings()


def test_the_env_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("HEARTH_IDLE_MINUTES=3\nOTHER=1\n")
    assert load_settings().idle_minutes == 3


@pytest.mark.parametrize(
    "name", ["HEARTH_SLOTS", "HEARTH_URL", "HEARTH_READ__NUM_CTX", "HEARTH_EC2__TYPES", "HEARTH_NOPE"]
)
def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch, name: str):
    usual = load_settings()
    monkeypatch.setenv(name, "")
    assert load_settings() == usual


def test_an_empty_variable_in_the_env_file_counts_as_unset(tmp_path: Path):
    usual = load_settings()
    (tmp_path / ".env").write_text("HEARTH_SLOTS=\nHEARTH_URL=\n")
    assert load_settings() == usual


def test_a_variable_that_is_no_utf8_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HEARTH_MODEL", "\udcff")
    with pytest.raises(InputError, match="HEARTH_MODEL is wrong: it is not valid UTF-8"):
        load_settings()


@pytest.mark.parametrize(
    ("variables", "first", "whole"),
    [
        ({}, 300, 1800),
        ({"TIMEOUT_SECONDS": "1200"}, 1200, 1200),
        ({"TIMEOUT_SECONDS": "60"}, 60, 60),
        ({"FIRST_TOKEN_SECONDS": "20"}, 20, 1800),
        ({"TIMEOUT_SECONDS": "600", "FIRST_TOKEN_SECONDS": "20"}, 20, 600),
    ],
)
def test_a_timeout_that_is_set_stays_the_only_limit_unless_that_of_the_first_token_is_set_too(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], first: float, whole: float
):
    for name, value in variables.items():
        monkeypatch.setenv(f"HEARTH_READ__{name}", value)
    read = load_settings().read
    assert (read.first_seconds, read.timeout_seconds) == (first, whole)
