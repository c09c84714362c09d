"""/api/generate and /api/chat: their answers."""

import json

import pytest
from PIL import Image

from tests.integration.embedded.pages import png

MODEL = "tesseract:eng"
METRICS = ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration")


def test_generate_gives_the_page_and_honest_numbers(reading, sentence, page):
    answer = reading.ollama.generate(MODEL, "Read this page", images=[sentence])
    assert answer.response.startswith("The harbour master")
    assert (answer.model, answer.done, answer.done_reason) == (MODEL, True, "stop")
    patches = -(-page.width // 28) * -(-page.height // 28)
    assert answer.prompt_eval_count == 3 + patches
    assert answer.eval_count > 50
    assert all(isinstance(getattr(answer, name), int) and getattr(answer, name) > 0 for name in METRICS)
    assert answer.total_duration >= answer.load_duration + answer.prompt_eval_duration + answer.eval_duration


def test_chat_gives_the_page_as_the_assistants_message(reading, sentence):
    answer = reading.ollama.chat(MODEL, [{"role": "user", "content": "Read", "images": [sentence]}])
    assert answer.message.role == "assistant"
    assert answer.message.content.startswith("The harbour master")
    assert (answer.done, answer.done_reason) == (True, "stop")


def test_chat_reads_the_images_of_the_last_message_that_has_any(reading, sentence):
    blank = png(Image.new("L", (50, 50), "white"))
    messages = [
        {"role": "user", "content": "Read", "images": [blank]},
        {"role": "user", "content": "Read", "images": [sentence]},
        {"role": "user", "content": "Please"},
    ]
    assert "harbour" in reading.ollama.chat(MODEL, messages).message.content


@pytest.mark.parametrize("endpoint", ["generate", "chat"])
def test_a_stream_joins_to_the_whole_answer_and_ends_with_the_numbers(reading, sentence, endpoint):
    if endpoint == "generate":
        whole = reading.ollama.generate(MODEL, "Read", images=[sentence]).response
        parts = list(reading.ollama.generate(MODEL, "Read", images=[sentence], stream=True))
        joined = "".join(part.response for part in parts)
    else:
        messages = [{"role": "user", "content": "Read", "images": [sentence]}]
        whole = reading.ollama.chat(MODEL, messages).message.content
        parts = list(reading.ollama.chat(MODEL, messages, stream=True))
        joined = "".join(part.message.content for part in parts)
    assert joined == whole
    assert [part.done for part in parts] == [False] * (len(parts) - 1) + [True]
    assert parts[-1].eval_count
    assert parts[0].eval_count is None


def test_streaming_is_the_default_and_is_ndjson(shared, dot, lines):
    response = shared.post("/api/generate", model=MODEL, prompt="x", images=[dot])
    assert response.headers["content-type"] == "application/x-ndjson"
    assert lines(response)[-1]["done"] is True


def test_the_model_is_named_as_the_client_named_it(shared, dot):
    assert shared.generate(model="Tesseract", images=[dot]).json()["model"] == "Tesseract"


def test_a_request_without_an_image_is_told_what_the_model_is_for(shared):
    assert shared.generate().json()["response"] == "This model reads page images. Send one in `images`."


def test_num_predict_cuts_the_answer_and_says_so(reading, sentence):
    answer = reading.ollama.generate(MODEL, "Read", images=[sentence], options={"num_predict": 3})
    assert answer.response == "The harbour"  # "The", " harbou", "r"
    assert (answer.eval_count, answer.done_reason) == (3, "length")


@pytest.mark.parametrize("limit", [-1, -2, 0, 100_000])
def test_num_predict_does_not_cut_what_fits(reading, sentence, limit):
    answer = reading.ollama.generate(MODEL, "Read", images=[sentence], options={"num_predict": limit})
    assert answer.response.endswith("captain.")
    assert answer.done_reason == "stop"


def test_the_answer_ends_before_a_stop_word(reading, sentence):
    answer = reading.ollama.generate(MODEL, "Read", images=[sentence], options={"stop": ["ledger", "keeps"]})
    assert answer.response == "The harbour master "
    assert answer.done_reason == "stop"


def test_format_json_wraps_the_text(reading, sentence):
    answer = reading.ollama.generate(MODEL, "Read", images=[sentence], format="json")
    assert json.loads(answer.response)["text"].startswith("The harbour master")


def test_a_schema_is_filled_with_the_text(reading, sentence):
    schema = {
        "type": "object",
        "properties": {
            "language": {"type": "string"},
            "natural_text": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "rotation": {"type": "integer", "enum": [0, 90, 180, 270]},
            "table": {"type": "boolean"},
        },
        "required": ["natural_text"],
    }
    messages = [{"role": "user", "content": "Read", "images": [sentence]}]
    page = json.loads(reading.ollama.chat(MODEL, messages, format=schema).message.content)
    assert page.pop("natural_text").startswith("The harbour master")
    assert page == {"language": "", "rotation": 0, "table": False}


@pytest.mark.parametrize(
    "accepted",
    [
        {"system": "You read."},
        {"template": "{{ .Prompt }}"},
        {"raw": True, "prompt": "[img-0] read"},
        {"context": [1, 2]},
        {"think": False},
        {"shift": False, "truncate": False},
        {"logprobs": False},
        {"options": {"temperature": 0, "seed": 1, "top_k": 1.0, "unheard_of": "yes", "num_gpu": None}},
        {"keep_alive": None, "format": None, "images": None},
        {"keep_alive": "1h30m"},
        {"new_field": 1},
    ],
)
def test_what_ollama_accepts_is_accepted(shared, accepted, dot):
    assert shared.generate(**{"images": [dot]} | accepted).json()["done_reason"] == "stop"
