"""/v1/models and /v1/chat/completions, as OpenAI's own client uses them."""

import base64

import pytest

from tests.integration.embedded.conftest import MODEL
from tests.integration.embedded.pages import png


@pytest.fixture(scope="session")
def openai():
    """Import OpenAI's package, which takes seconds, only when a test needs it."""
    return pytest.importorskip("openai", reason="the package openai is missing: `make test` installs it")


@pytest.fixture
def client(openai, reading):
    with openai.OpenAI(base_url=f"{reading.url}/v1", api_key="unused", max_retries=0) as client:
        yield client


@pytest.fixture(scope="session")
def messages(page):
    """A message with a page's image and a request to read it."""
    url = f"data:image/png;base64,{base64.b64encode(png(page)).decode()}"
    parts = [{"type": "text", "text": "Read this page."}, {"type": "image_url", "image_url": {"url": url}}]
    return [{"role": "user", "content": parts}]


def _said(content):
    return [{"role": "user", "content": content}]


def test_a_page_is_read(client, messages):
    answer = client.chat.completions.create(model=MODEL, messages=messages)
    assert answer.choices[0].message.content.startswith("The harbour master")
    assert (answer.model, answer.choices[0].finish_reason) == (MODEL, "stop")
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.usage.completion_tokens > 50


def test_a_stream_joins_to_the_whole_answer_and_ends_with_its_usage_where_it_is_wanted(client, messages):
    whole = client.chat.completions.create(model=MODEL, messages=messages)
    wanted = {"include_usage": True}
    chunks = list(client.chat.completions.create(model=MODEL, messages=messages, stream=True, stream_options=wanted))
    deltas = [chunk.choices[0] for chunk in chunks if chunk.choices]
    assert "".join(each.delta.content or "" for each in deltas) == whole.choices[0].message.content
    assert len(deltas) > 3
    assert [each.finish_reason for each in deltas] == [None] * (len(deltas) - 1) + ["stop"]
    assert deltas[0].delta.role == "assistant"
    assert chunks[-1].usage == whole.usage


def test_max_tokens_and_stop_words_end_the_answer(client, messages):
    short = client.chat.completions.create(model=MODEL, messages=messages, max_tokens=3)
    assert (short.choices[0].message.content, short.choices[0].finish_reason) == ("The harbour", "length")
    stopped = client.chat.completions.create(model=MODEL, messages=messages, stop="ledger")
    assert (stopped.choices[0].message.content, stopped.choices[0].finish_reason) == (
        "The harbour master keeps a ",
        "stop",
    )


def test_a_schema_is_filled_with_the_text(client, messages):
    schema = {"type": "object", "properties": {"text": {"type": "string"}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "page", "schema": schema}}
    answer = client.chat.completions.create(model=MODEL, messages=messages, response_format=wanted)
    assert answer.choices[0].message.content.startswith('{"text": "The harbour master')


def test_the_models_are_listed_and_told_of(openai, client):
    (listed,) = client.models.list().data
    assert (listed.id, listed.owned_by) == (MODEL, "library")
    assert client.models.retrieve("tesseract").id == "tesseract"
    with pytest.raises(openai.NotFoundError, match="model 'nosuch:latest' not found"):
        client.models.retrieve("nosuch")


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"model": "nosuch"}, "NotFoundError", "model 'nosuch' not found"),
        ({"model": ""}, "BadRequestError", "model is required"),
        ({"messages": []}, "BadRequestError", r"\[\] is too short - 'messages'"),
        ({"messages": _said([{"type": "audio"}])}, "BadRequestError", "invalid message format"),
        ({"messages": _said([5])}, "BadRequestError", "invalid message format"),
        ({"messages": _said(5)}, "BadRequestError", "invalid message content type: float64"),
        (
            {"messages": _said([{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}])},
            "BadRequestError",
            "image URLs are not currently supported",
        ),
        (
            {"messages": _said([{"type": "image_url", "image_url": {"url": "data:image/gif;base64,AAAA"}}])},
            "BadRequestError",
            "invalid image input",
        ),
        (
            {"messages": _said([{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}])},
            "BadRequestError",
            "Failed to load image",
        ),
        ({"temperature": "hot"}, "BadRequestError", "cannot unmarshal string into Go struct field"),
        ({"reasoning_effort": "huge"}, "BadRequestError", "invalid reasoning value"),
        ({"reasoning_effort": "high"}, "BadRequestError", "does not support thinking"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "BadRequestError", "not support tools"),
    ],
)
def test_what_is_wrong_is_an_error_of_the_clients_own(openai, client, changes, error, words):
    request = {"model": MODEL, "messages": _said("Read.")} | changes
    with pytest.raises(getattr(openai, error), match=words):
        client.chat.completions.create(**request)


def test_embeddings_are_refused(openai, client):
    with pytest.raises(openai.APIStatusError, match="does not support embeddings") as caught:
        client.embeddings.create(model=MODEL, input="x")
    assert caught.value.status_code == 501
