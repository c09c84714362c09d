"""The embedded server answers every recorded request as a real Ollama did."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest

from tests.integration.embedded.conftest import MODEL, running
from tests.integration.embedded.ollama_facts import CUT, FACTS, RECORDED, Fact, facts, forms, headers_of
from tests.integration.embedded.pages import png, render

ABSENT_ROUTES = ("/api/blobs/", "/v1/completions", "/v1/responses", "/v1/messages")
OTHER_MODELS = {"rep", "rep2", "broken", "weird", "lfm2", "text"}
"""Models of the recorded server whose weights were made to fail."""

WITHOUT_NETWORK = "pull model manifest: Get "
"""The recorded server had a registry that it could not reach. This one has none, and says what a registry says."""


def _comparable(fact: Fact) -> bool:
    model = (fact.get("body") or {}).get("model")
    absent = fact["path"].startswith(ABSENT_ROUTES)
    return not absent and model not in OTHER_MODELS and fact["case"] != "pull present"


COMPARED = [fact for fact in facts() if _comparable(fact)]


@pytest.fixture(scope="module")
def answers(tmp_path_factory) -> dict[str, httpx.Response]:
    """The answers to all requests, sent in the recorded order: some need what an earlier one made."""
    image = base64.b64encode(png(render(((20, 20, 200, 60), "Alpha one.")).crop((0, 0, 200, 80))))
    with running("--num-parallel", "1", "--models", str(tmp_path_factory.mktemp("models"))) as server:
        server.ollama.pull(MODEL)
        return {fact["case"]: _sent(server.http, fact, image.decode()) for fact in COMPARED}


def _sent(client: httpx.Client, fact: Fact, image: str) -> httpx.Response:
    content = json.dumps(fact["body"]) if "body" in fact else fact.get("raw", "")
    for placeholder, value in {'"@"': f'"{MODEL}"', '"chain"': f'"{MODEL}"', "<png>": image}.items():
        content = content.replace(placeholder, value)
    content = content.replace("<25000 characters>", "a " * 12_500)
    path = fact["path"].replace("<model>", MODEL)
    return client.request(fact["method"], path, content=content, headers=fact.get("headers"))


@pytest.mark.parametrize("fact", COMPARED, ids=lambda fact: fact["case"])
def test_an_answer_has_ollamas_status_headers_keys_types_and_words(answers, fact: Fact):
    response, expected = answers[fact["case"]], fact["answer"]
    assert response.status_code == expected["status"], response.text
    assert headers_of(response.headers) == expected["headers"]
    if expected["lines"] != [CUT]:
        _assert_lines(forms(response.text.splitlines(), MODEL), expected["lines"])


def _assert_lines(lines: list[Any], expected: list[Any]) -> None:
    """Compare the first line, the last one, and the kinds of those between: their number is the model's matter."""
    if expected and WITHOUT_NETWORK in str(expected[-1]):
        expected = [*expected[:-1], {"error": "pull model manifest: file does not exist"}]
    assert lines[:1] == expected[:1]
    assert lines[-1:] == expected[-1:]
    assert [each for each in lines if each not in expected] == []


def test_nearly_all_that_was_recorded_is_compared():
    assert len(COMPARED) > 145


@pytest.mark.skipif(not RECORDED.exists(), reason="the recorded answers of Ollama are not at hand")
def test_the_kept_facts_are_those_of_the_recorded_answers():
    assert json.loads(FACTS.read_text()) == facts()
