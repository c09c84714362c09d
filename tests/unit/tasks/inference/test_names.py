"""Names of models, by Ollama's rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra_scripts.ecs import agent
from tasks.inference.names import canonical_name, find_model
from tasks.inference.schema import LoadedModel, Model
from tests.support.ollama.wire import DIGEST, MODEL

FULL = "registry.ollama.ai/library/qwen2.5vl:7b"
part = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,9}", fullmatch=True)


@pytest.mark.parametrize(
    "name",
    [
        "qwen2.5vl:7b",
        "Qwen2.5VL:7B",
        "library/qwen2.5vl:7b",
        "LIBRARY/qwen2.5vl:7b",
        FULL,
        f"https://{FULL}",
        " qwen2.5vl:7b",
    ],
)
def test_a_model_is_found_however_its_name_is_written(name):
    listed, loaded = Model(name=MODEL, digest=DIGEST), LoadedModel(name=FULL)
    assert find_model(name, (listed,)) is listed
    assert find_model(name, (loaded,)) is loaded


@pytest.mark.parametrize(
    ("asked", "listed"),
    [("gemma3", "gemma3:latest"), ("gemma3:latest", "gemma3"), ("hub:5000/me/gemma3", "hub:5000/me/gemma3:latest")],
)
def test_a_name_without_a_tag_means_the_latest(asked, listed):
    model = Model(name=listed, digest=DIGEST)
    assert find_model(asked, (model,)) is model


@pytest.mark.parametrize(
    "name",
    ["qwen2.5vl", "qwen2.5vl:3b", "me/qwen2.5vl:7b", "hf.co/library/qwen2.5vl:7b", "hub:5000/library/qwen2.5vl:7b"],
)
def test_another_tag_namespace_or_host_is_another_model(name):
    assert find_model(name, (Model(name=MODEL, digest=DIGEST),)) is None


@given(part, part, part, part)
def test_a_full_name_stays_as_it_is(host, namespace, model, tag):
    name = f"{host}/{namespace}/{model}:{tag}"
    assert canonical_name(name) == name.lower()
    assert canonical_name(canonical_name(f"{namespace}/{model}")) == canonical_name(f"{namespace}/{model}:LATEST")


@given(st.lists(part, min_size=1, max_size=3), st.none() | part)
def test_an_ecs_task_goes_by_the_same_rules(path, tag):
    """It imports nothing of the project, and has its own copy."""
    name = "/".join(path) + ("" if tag is None else f":{tag}")
    assert agent.canonical_name(name) == canonical_name(name)


def test_of_two_notations_that_are_both_listed_the_exact_one_is_found():
    models = tuple(Model(name=name, digest=DIGEST) for name in ("Org/Model", "org/model"))
    assert [find_model(model.name, models) for model in models] == list(models)
