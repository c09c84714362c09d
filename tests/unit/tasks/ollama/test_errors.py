"""What Ollama's errors say once the JSON around them is gone, and which of them are alike."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.errors import ModelError, ServerError, ServerFaultError, TransientError
from tasks.inference.server_words import kind_of, server_words
from tasks.ollama.errors import classify
from tests.support.commands import ROOT

ANSWERS = ROOT.parent / "shared" / "ollama" / "answers.jsonl"
URL = "http://127.0.0.1:11434"


def wrapped(text: str, times: int) -> str:
    """As llama-server's error comes: JSON in the text of JSON."""
    for _ in range(times):
        text = json.dumps({"error": {"code": 500, "message": text, "type": "server_error"}})
    return json.dumps({"error": text})


def test_an_error_of_llama_server_is_extracted_from_ollamas():
    told = json.dumps({"error": {"code": 400, "message": "Failed to load image", "type": "invalid_request_error"}})
    assert server_words(json.dumps({"error": told})) == "Failed to load image"


def test_an_error_of_llama_server_itself_is_understood():
    assert server_words('{"error": {"code": 503, "message": "Loading model"}}') == "Loading model"


def test_text_before_and_after_the_inner_json_is_kept():
    body = json.dumps({"error": 'llama-server said {"error": {"message": "out of memory"}} and ended'})
    assert server_words(body) == "llama-server said out of memory and ended"


def test_equal_lines_are_reported_once():
    assert server_words('{"error": "exit status 1: bad\\nexit status 1: bad\\nworse"}') == "exit status 1: bad; worse"


@pytest.mark.parametrize(
    "body", ["", "[]", "null", "{}", '{"error": null}', '{"error": {"code": 1}}', '{"error": 5}', "[" * 100_000]
)
def test_a_response_without_a_message_has_none(body):
    assert server_words(body) is None


@pytest.mark.parametrize("text", ["{", 'option {"a" is wrong', "a {b} c", "{}"])
def test_braces_that_are_not_json_stay(text):
    assert server_words(json.dumps({"error": text})) == text


@given(st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="{"), min_size=1), st.integers(0, 3))
def test_an_error_is_extracted_however_often_it_was_wrapped(text, times):
    assert server_words(wrapped(text, times)) == text[:300]


@given(st.integers(6, 12))
def test_the_depth_and_the_length_of_errors_are_bounded(times):
    assert len(server_words(wrapped("x", times)) or "") <= 300


@pytest.mark.skipif(not ANSWERS.exists(), reason="the recorded answers are not here")
def test_no_error_of_the_real_server_is_reported_as_json():
    records = [json.loads(line) for line in ANSWERS.read_text().splitlines()]
    bodies = [record["lines"][-1] for record in records if record["lines"] and '"error"' in record["lines"][-1]]
    assert len(bodies) > 50
    for body in bodies:
        assert '"message"' not in (server_words(body) or "")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Post http://127.0.0.1:39123/completion: EOF", "Post http://127.0.0.1:40017/completion: EOF"),
        ("requires (10.4 GiB) than is available (7.7 GiB)", "requires (10.4 GiB) than is available (7.65 GiB)"),
        ("read udp 10.0.0.2:5123->192.0.2.53:53: i/o timeout", "read udp 10.0.0.2:881->192.0.2.53:53: i/o timeout"),
        ("CUDA error at 0x7f31a0", "CUDA error at 0x55aa"),
        ("Unexpected EOF", "unexpected EOF"),
    ],
)
def test_an_error_is_the_same_with_other_numbers(one, other):
    assert kind_of(one) == kind_of(other)


def test_another_message_is_another_error():
    assert kind_of("out of memory") != kind_of("unexpected EOF")


@pytest.mark.parametrize(
    ("status", "kind"),
    [(500, ServerFaultError), (501, ServerFaultError), (503, TransientError), (404, ModelError), (403, ServerError)],
)
def test_an_error_is_classified_by_its_status(status, kind):
    assert type(classify(URL, status, '{"error": "what nobody has seen"}', authorized=False)) is kind


def test_a_wrapped_error_is_classified_by_its_message():
    error = classify(URL, 400, wrapped("the model does not support images", 1), authorized=False)
    assert (type(error), str(error)) == (ModelError, "the model does not support images")
