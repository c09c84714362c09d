"""/api/generate and /api/chat: refused requests."""

import base64
import json

import ollama
import pytest
from PIL import Image

from tasks.embedded.server import MAX_BODY_BYTES
from tests.integration.embedded.pages import png

MODEL = "tesseract:eng"
BAD_IMAGE = '{"error":{"code":400,"message":"Failed to load image or audio file","type":"invalid_request_error"}}'


def test_any_other_format_is_refused(shared, dot):
    response = shared.generate(images=[dot], format="xml")
    expected = r'invalid format: "\"xml\""; expected "json" or a valid JSON Schema object'
    assert (response.status_code, response.json()) == (500, {"error": expected})


@pytest.mark.parametrize("endpoint", ["/api/generate", "/api/chat"])
@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ({"model": "missing"}, 404, "model 'missing' not found"),
        ({"model": "two words"}, 400, "invalid model name"),
        ({"keep_alive": "soon"}, 400, 'time: invalid duration "soon"'),
        ({"keep_alive": "-1"}, 400, 'time: missing unit in duration "-1"'),
        ({"keep_alive": True}, 400, "Unsupported type: 'bool'"),
        ({"think": True}, 400, '"tesseract:eng" does not support thinking'),
        ({"think": "high"}, 400, '"tesseract:eng" does not support thinking'),
        ({"options": {"num_ctx": "4096"}}, 500, 'option "num_ctx" must be of type integer'),
        ({"options": {"temperature": "hot"}}, 500, 'option "temperature" must be of type float32'),
        ({"options": {"use_mmap": 1}}, 500, 'option "use_mmap" must be of type boolean'),
        ({"options": {"stop": "end"}}, 500, 'option "stop" must be of type array'),
        ({"options": {"stop": [1]}}, 500, 'option "stop" must be of an array of strings'),
    ],
)
def test_requests_are_refused_in_ollamas_words(shared, endpoint, body, status, error):
    response = shared.post(endpoint, **{"model": MODEL} | body)
    assert (response.status_code, response.json()) == (status, {"error": error})


@pytest.mark.parametrize(
    ("path", "body", "status", "error"),
    [
        ("generate", {"model": ""}, 404, "model '' not found"),
        ("chat", {"model": ""}, 400, "model is required"),
        ("generate", {"suffix": "x"}, 400, "registry.ollama.ai/library/tesseract:eng does not support insert"),
        ("chat", {"tools": [{}]}, 400, "registry.ollama.ai/library/tesseract:eng does not support tools"),
        (
            "generate",
            {"raw": True, "system": "x"},
            400,
            "raw mode does not support template, system, or context",
        ),
        ("generate", {"images": ["AAA?"]}, 400, "illegal base64 data at input byte 3"),
        ("generate", {"images": ["AAA"]}, 400, "illegal base64 data at input byte 3"),
        ("chat", {"messages": [{"images": ["*"]}]}, 400, "illegal base64 data at input byte 0"),
        (
            "generate",
            {"prompt": 3},
            400,
            "json: cannot unmarshal number into Go struct field GenerateRequest.prompt of type string",
        ),
        (
            "chat",
            {"messages": [{"content": []}]},
            400,
            "json: cannot unmarshal array into Go struct field ChatRequest.messages.content of type string",
        ),
    ],
)
def test_each_endpoint_has_refusals_of_its_own(shared, path, body, status, error):
    response = shared.post(f"/api/{path}", **{"model": MODEL} | body)
    assert (response.status_code, response.json()) == (status, {"error": error})


@pytest.mark.parametrize(
    "image",
    [b"", b"no image", b"%PDF-1.7", png(Image.new("L", (9, 9)), "GIF"), png(Image.new("L", (9000, 9000)))],
    ids=["empty", "text", "pdf", "gif", "81 megapixels"],
)
def test_what_is_no_readable_image_is_refused_with_status_400(reading, image):
    with pytest.raises(ollama.ResponseError) as caught:
        reading.ollama.generate(MODEL, "Read", images=[base64.b64encode(image).decode()])
    assert (caught.value.status_code, caught.value.error) == (400, BAD_IMAGE)


def test_a_truncated_image_is_refused_and_the_slot_is_free_again(reading, sentence):
    for _ in range(4):
        response = reading.generate(images=[base64.b64encode(sentence[: len(sentence) // 2]).decode()])
        assert (response.status_code, response.json()) == (400, {"error": BAD_IMAGE})
    assert reading.read(sentence)


def test_an_error_before_the_first_piece_has_its_status_even_when_streaming(reading):
    response = reading.post("/api/generate", model=MODEL, prompt="x", images=["AAAA"])
    assert (response.status_code, response.json()) == (400, {"error": BAD_IMAGE})


def test_half_a_surrogate_pair_in_a_name_does_no_harm(shared):
    raw = b'{"model": "\\ud800"}'
    response = shared.http.post("/api/generate", content=raw)
    assert response.status_code == 400


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", "missing request body"),
        (b"  \n", "missing request body"),
        (b'{"model": "x"', "unexpected EOF"),
        (b'{"model": "x', "unexpected EOF"),
        (b"model=x", "invalid character 'm' looking for beginning of value"),
        (b"{model: 1}", "invalid character 'm' looking for beginning of object key string"),
        (b'{"model" "x"}', "invalid character '\"' after object key"),
        (b"[]", "json: cannot unmarshal array into Go value of type api.GenerateRequest"),
    ],
)
def test_a_body_that_is_no_request_is_refused(shared, content, error):
    response = shared.http.post("/api/generate", content=content)
    assert (response.status_code, response.json()) == (400, {"error": error})


@pytest.mark.parametrize("content", [b"[" * 200_000, b"9" * 10_000, b'{"keep_alive": 1e999}', b"null", b"\xff\xfe{}"])
def test_an_absurd_body_is_refused_without_a_traceback(shared, content):
    response = shared.http.post("/api/generate", content=content)
    assert response.status_code in {400, 404}
    assert "Traceback" not in response.text


def test_a_body_beyond_the_limit_is_refused(shared):
    chunks = (b" " * 1_000_000 for _ in range(MAX_BODY_BYTES // 1_000_000 + 1))
    assert shared.http.post("/api/generate", content=chunks).status_code == 413


def test_an_engine_that_crashes_is_told_as_ollama_tells_it_and_frees_its_slot(start, dot):
    server = start("--engine", "tests.integration.embedded.engines:crashing", "--num-parallel", "1")
    for _ in range(3):
        response = server.generate(images=[dot])
        assert response.status_code == 500
        assert response.json()["error"].startswith("model runner has unexpectedly stopped")


def test_an_engine_that_does_not_load_is_an_error_and_is_not_listed_as_loaded(start):
    server = start("--engine", "tests.integration.embedded.engines:unloadable")
    assert server.generate().status_code == 500
    assert server.loaded() == []


@pytest.mark.parametrize(
    "body", [{"format": {"x": "y" * 10**6, "anyOf": 5}}, {"think": "y" * 10**6}, {"keep_alive": "y" * 10**6}]
)
def test_an_error_does_not_repeat_a_request_of_megabytes(shared, dot, body):
    for path, fields in {"/api/generate": {"prompt": "x", "images": [dot]}, "/api/chat": {"messages": [{}]}}.items():
        response = shared.post(path, model=MODEL, **fields, **body)
        assert response.status_code in {400, 500}
        assert len(response.content) < 10_000


def test_a_request_has_a_bounded_number_of_pages(shared, dot):
    assert shared.generate(images=[dot] * 256).status_code == 200
    response = shared.generate(images=[dot] * 257)
    assert (response.status_code, response.json()) == (400, {"error": "257 images in one request: 256 are the most"})


def test_a_prompt_longer_than_the_context_is_refused_and_a_large_page_is_not(shared, dot):
    response = shared.generate(prompt="a " * 300, images=[dot], options={"num_ctx": 256})
    error = json.loads(response.json()["error"])["error"]
    assert (response.status_code, error["type"], error["n_ctx"]) == (400, "exceed_context_size_error", 256)
    large = base64.b64encode(png(Image.new("L", (2000, 2800)))).decode()
    assert shared.generate(prompt="a", images=[large], options={"num_ctx": 256}).status_code == 200
