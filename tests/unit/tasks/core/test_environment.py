"""The variables that a child process gets."""

from __future__ import annotations

from tasks.core.environment import MACHINE, select_variables


def test_only_what_is_named_is_passed_on(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:1")
    passed = select_variables(MACHINE)
    assert passed["HTTPS_PROXY"] == "http://proxy:1"
    assert "AWS_SECRET_ACCESS_KEY" not in passed


def test_what_begins_as_named_is_passed_on_unless_it_sounds_like_a_secret(monkeypatch):
    for name in ("OLLAMA_MODELS", "OLLAMA_API_KEY", "OLLAMA_AUTH_TOKEN", "OTHER"):
        monkeypatch.setenv(name, "x")
    assert select_variables(["OLLAMA_*"]) == {"OLLAMA_MODELS": "x"}
