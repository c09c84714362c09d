"""What a profile has sent: each of its fields reaches the request, on both wires."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tasks.core.calls import Endpoint, Sampling
from tasks.core.jobs import ReadOptions
from tasks.inference.schema import GenerateRequest
from tasks.models.call import ModelCall, plan_call
from tasks.models.catalog import profiles
from tasks.models.profile import Profile
from tasks.models.prompts import general_prompt
from tasks.ollama import schema as ollama
from tasks.openai import request as openai
from tasks.openai.schema import Kind

OPTIONS = ReadOptions(prompt="p", longest_side=1288, num_ctx=8192, num_predict=4096)
IMAGE = b"\x89PNG"
FULL = Profile(
    name="full",
    endpoint=Endpoint.CHAT,
    think=True,
    prompt="Read.",
    licence="own",
    system="You read.",
    stop=("</page>", "```"),
    sampling=Sampling(top_k=3, top_p=0.5, min_p=0.1, repeat_penalty=1.2, repeat_last_n=64, presence_penalty=0.5),
    temperatures=(0.3, 0.7),
    num_ctx=5000,
    num_predict=3000,
)
PROFILES = [*profiles().values(), FULL]
each_profile = pytest.mark.parametrize("profile", PROFILES, ids=[profile.name for profile in PROFILES])


def call_of(profile: Profile) -> ModelCall:
    return plan_call("m", profile, OPTIONS, {})


def over_ollama(call: ModelCall, attempt: int = 1) -> dict[str, Any]:
    return ollama.page_body(call.request(60), call.prompt, (IMAGE,), call.profile.temperature(attempt))


def over_openai(call: ModelCall, kind: Kind = Kind.LLAMA_SERVER, attempt: int = 1) -> dict[str, Any]:
    return openai.page_body(kind, call.request(60), call.prompt, (IMAGE,), call.profile.temperature(attempt))


def prompt_of(profile: Profile) -> str:
    return general_prompt() if profile.prompt is None else profile.prompt


@each_profile
def test_its_prompt_and_image_go_through_its_endpoint_of_ollama(profile):
    body = over_ollama(call_of(profile))
    image = base64.b64encode(IMAGE).decode()
    if profile.endpoint is Endpoint.GENERATE:
        assert (body["prompt"], body["images"], body.get("system")) == (prompt_of(profile), [image], profile.system)
    else:
        *system, user = body["messages"]
        assert user == {"role": "user", "content": prompt_of(profile), "images": [image]}
        assert [message["content"] for message in system] == ([profile.system] if profile.system else [])


@each_profile
def test_its_options_reach_ollama(profile):
    options = over_ollama(call_of(profile))["options"]
    assert options == {
        "num_ctx": profile.num_ctx or 8192,
        "num_predict": profile.num_predict or 4096,
        "temperature": profile.temperature(1),
        **profile.sampling.options(),
        **({"stop": list(profile.stop)} if profile.stop else {}),
    }


@each_profile
def test_its_prompt_and_options_reach_a_server_of_openais_api(profile):
    body = over_openai(call_of(profile))
    *system, user = body["messages"]
    texts = [part["text"] for part in user["content"] if part["type"] == "text"]
    assert texts == ([prompt_of(profile)] if prompt_of(profile) else [])
    assert [message["content"] for message in system] == ([profile.system] if profile.system else [])
    assert (body["max_tokens"], body["temperature"]) == (profile.num_predict or 4096, profile.temperature(1))
    assert body.get("stop", []) == list(profile.stop)
    assert profile.sampling.options().items() <= body.items()
    assert body["chat_template_kwargs"] == {"enable_thinking": profile.think is True}


@each_profile
def test_each_attempt_has_the_temperature_of_its_ladder(profile):
    for attempt in range(1, 10):
        wanted = profile.temperature(attempt)
        assert over_ollama(call_of(profile), attempt)["options"]["temperature"] == wanted
        assert over_openai(call_of(profile), attempt=attempt)["temperature"] == wanted


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (Kind.VLLM, {"top_p", "presence_penalty", "top_k", "min_p", "repetition_penalty"}),
        (Kind.LM_STUDIO, {"top_p", "presence_penalty", "top_k", "repeat_penalty"}),
        (Kind.UNKNOWN, {"top_p", "presence_penalty"}),
    ],
)
def test_a_server_is_sent_the_options_that_it_knows(kind, names):
    body = over_openai(call_of(FULL), kind)
    every = {"top_p", "presence_penalty", "top_k", "min_p", "repeat_penalty", "repetition_penalty", "repeat_last_n"}
    assert body.keys() & every == names


def test_a_model_that_is_to_think_is_not_told_to_stop():
    assert call_of(FULL).request(60).think is True
    assert "think" not in ollama.page_body(GenerateRequest("m", 8192, 4096, 60, think=True), "p")


@each_profile
def test_images_have_the_size_that_it_asks_for(profile):
    assert call_of(profile).longest_side == (profile.longest_side or 1288)
