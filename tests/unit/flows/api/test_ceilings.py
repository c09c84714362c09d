"""Limits of what a request may contain."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from flows.api.ceilings import Ceilings
from flows.api.settings import ApiSettings
from tasks.core.errors import InputError, LimitError
from tasks.core.jobs import BackendName, Job
from tasks.settings.settings import Settings


def refused(job: dict[str, Any], *, settings: Settings | None = None, **api: Any) -> str:
    """Return why a job is refused, or an empty string if it is allowed."""
    try:
        Ceilings(settings or Settings(), ApiSettings(**api)).check(Job(document="", **job))
    except InputError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("job", "told"),
    [
        ({"backend": "ec2"}, "The backend 'ec2' is not allowed here. Leave backend out, or .* API_BACKENDS."),
        ({"backend": "sagemaker"}, "API_BACKENDS"),
        ({"backend": "ecs"}, "API_BACKENDS"),
        ({"model": "llama3.1:405b"}, "The model 'llama3.1:405b' is not allowed here. .* API_MODELS."),
        ({"model": "hf.co/someone/qwen2.5vl:7b"}, "API_MODELS"),
        ({"num_ctx": 1_000_000}, r"num_ctx=1e\+06 is more than the limit of 32768 \(API_MAX_NUM_CTX\)"),
        ({"num_predict": 100_000}, "API_MAX_NUM_PREDICT"),
        ({"attempts": 20}, "attempts=20 is more than the limit of 8 .API_MAX_ATTEMPTS.. Use a smaller value."),
        ({"slots": 256}, "API_MAX_SLOTS"),
        ({"max_usd": 10.01}, "API_MAX_USD"),
        ({"max_usd": float("inf")}, "API_MAX_USD"),
        ({"json_schema": {"title": "a" * 8001}}, "The json_schema has 80.. characters; .*API_MAX_PROMPT"),
        ({"prompt": "a" * 8001}, "The prompt has 8001 characters; the limit is 8000 .API_MAX_PROMPT.. Shorten it."),
    ],
)
def test_a_value_over_a_limit_is_refused_with_the_name_of_its_setting(job: dict[str, Any], told: str):
    assert re.search(told, refused(job))


@pytest.mark.parametrize(
    "job",
    [
        *({}, {"backend": "embedded"}, {"backend": "auto"}, {"model": "tesseract:deu"}, {"model": "qwen2.5vl:7b"}),
        *({"model": "registry.ollama.ai/library/Qwen2.5VL:7b"}, {"num_ctx": 32_768}, {"max_usd": 10}),
    ],
)
def test_values_below_the_limits_are_allowed(job: dict[str, Any]):
    assert refused(job) == ""


@pytest.mark.parametrize(
    ("job", "api"),
    [
        ({"backend": "ec2"}, {"backends": ["ec2"]}),
        ({"model": "llama3.1:405b"}, {"models": ["*"]}),
        ({"model": "gemma3:27b"}, {"models": ["gemma3:*"]}),
        ({"model": "hf.co/someone/model:q4"}, {"models": ["hf.co/someone/*:*"]}),
        ({"num_ctx": 65_536}, {"max_num_ctx": 65_536}),
    ],
)
def test_settings_raise_the_limits(job: dict[str, Any], api: dict[str, Any]):
    assert refused(job)
    assert refused(job, **api) == ""


def test_a_pattern_of_models_allows_no_other_namespace():
    assert "API_MODELS" in refused({"model": "evil.example/library/gemma3:27b"}, models=["gemma3:*"])


def test_the_values_of_the_workers_settings_are_always_allowed():
    asked = {"backend": "ec2", "model": "llama3.1:405b", "slots": 64}
    assert refused(asked)
    assert refused(asked, settings=Settings(backend=BackendName.EC2, model="llama3.1:405b", slots=64)) == ""


def test_if_a_model_is_configured_the_backends_default_is_not_allowed():
    assert "API_MODELS" in refused({"model": "qwen2.5vl:7b"}, settings=Settings(model="gemma3:4b"))


def test_a_request_for_too_many_pages_is_refused():
    ceilings = Ceilings(Settings(), ApiSettings(max_pages=3))
    ceilings.check_pages(3)
    with pytest.raises(LimitError, match=r"for 4 pages; the limit is 3 \(API_MAX_PAGES\)"):
        ceilings.check_pages(4)


def test_a_request_without_a_budget_gets_the_largest_one():
    ceilings = Ceilings(Settings(), ApiSettings(max_usd=2))
    assert ceilings.with_budget(Job(document="")).max_usd == 2
    assert ceilings.with_budget(Job(document="", max_usd=0.5)).max_usd == 0.5


@pytest.mark.parametrize("name", ["MAX_NUM_CTX", "UPLOADS", "DISK_GB", "CONNECTIONS", "BACKENDS"])
def test_an_invalid_limit_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str):
    from flows.api.settings import load_api_settings

    monkeypatch.setenv(f"API_{name}", '["moon"]' if name == "BACKENDS" else "-1")
    with pytest.raises(InputError, match=f"API_{name}"):
        load_api_settings()
