"""Requests of the endpoints that read pages, checked in Ollama's order.

A request that cannot be served raises a RequestError with Ollama's status and message.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tasks.embedded import fields, wire
from tasks.embedded.answers import count_tokens
from tasks.embedded.errors import BadRequestError, CloudModelError, TemplateError, UnknownModelError
from tasks.embedded.models import CONTEXT_LENGTH, Model, Store

MOST_TOP_LOGPROBS = 20
MOST_IMAGES = 256
CLOUD_TAG = "cloud"

SMALLEST_CONTEXT = 256
"""llama-server raises smaller values to this."""

# Verbatim from llama-server: Ollama wraps its JSON in its own.
NOT_TOKENIZED = '{"error":{"code":400,"message":"Failed to tokenize prompt","type":"invalid_request_error"}}'


@dataclass(frozen=True, slots=True)
class Question:
    """The common content of the two endpoints' requests."""

    prompt: str
    images: list[bytes]
    empty: bool
    """Whether the request only loads or unloads the model."""
    shape: Callable[[str], dict[str, object]]
    """Returns the endpoint's fields for a piece of the answer."""
    context: bool = False
    """Whether the answer ends with the tokens of the conversation."""


@dataclass(frozen=True, slots=True)
class Request:
    """A valid request."""

    name: str
    """The model as the client wrote it."""
    model: Model
    question: Question
    keep_alive: float | None
    options: wire.Options
    template: object
    stream: bool
    logprobs: bool
    top_logprobs: int


def parse_generate(data: Mapping[str, Any], store: Store) -> Request:
    """Return a valid request of /api/generate."""
    pictures = wire.parse_images(data.get("images", []))
    _check_values(data)
    model = _model(data, store, UnknownModelError("model '' not found"))
    prompt = data.get("prompt", "")
    if data.get("raw") and any(data.get(name) for name in ("template", "system", "context")):
        raise BadRequestError("raw mode does not support template, system, or context")
    _check_abilities(data, model, {"suffix": "insert"})
    written = f"{data.get('system', '')} {prompt}"
    question = Question(
        written, pictures, not prompt, lambda piece: {"response": piece}, context=not data.get("raw", False)
    )
    request = _request(data, model, question)
    if prompt and data.get("template", "").count("{{") > data.get("template", "").count("}}"):
        raise TemplateError("template: :1: unclosed action")
    if prompt and pictures and data.get("raw") and "[img-" not in prompt:
        raise BadRequestError(NOT_TOKENIZED)
    return request


def parse_chat(data: Mapping[str, Any], store: Store) -> Request:
    """Return a valid request of /api/chat, with the images of the last message that has any."""
    messages = [
        wire.check_fields(each, fields.MESSAGE_FIELDS, "ChatRequest.messages") for each in data.get("messages", [])
    ]
    pictures = [wire.parse_images(each.get("images", []), "ChatRequest.messages") for each in messages]
    _check_values(data)
    model = _model(data, store, BadRequestError("model is required"))
    _check_abilities(data, model, {"tools": "tools"})
    written = " ".join(each.get("content", "") for each in messages)
    last = next((each for each in reversed(pictures) if each), [])
    return _request(data, model, Question(written, last, not messages, _message))


def find_model(name: str, store: Store) -> Model | None:
    """Return the installed model of that name, or None."""
    tag = name.rpartition(":")[2]
    if ":" in name and (tag == CLOUD_TAG or tag.endswith(f"-{CLOUD_TAG}")):
        raise CloudModelError("ollama cloud is disabled: remote model is unavailable")
    return store.find(name)


def unsupported(model: Model, capability: str) -> BadRequestError:
    """Return the error for a capability that a model lacks."""
    return BadRequestError(f"registry.ollama.ai/library/{model.name} does not support {capability}")


def prompt_tokens(request: Request) -> int:
    """Return the number of tokens of the prompt, without images."""
    count = count_tokens(request.question.prompt)
    limit = max(SMALLEST_CONTEXT, min(CONTEXT_LENGTH, request.options.num_ctx))
    if count <= limit:
        return count
    message = f"request ({count} tokens) exceeds the available context size ({limit} tokens), try increasing it"
    error = {"code": 400, "message": message, "type": "exceed_context_size_error"}
    raise BadRequestError(
        json.dumps({"error": error | {"n_prompt_tokens": count, "n_ctx": limit}}, separators=(",", ":"))
    )


def _check_values(data: Mapping[str, Any]) -> None:
    """Check the values that Go checks while it decodes, and then the number of alternatives."""
    think = data.get("think")
    if think not in (None, True, False, "high", "medium", "low", "max"):
        allowed = '(must be "high", "medium", "low", "max", true, or false)'
        raise BadRequestError(f"invalid think value: {json.dumps(think)} {allowed}")
    if "keep_alive" in data:
        wire.parse_keep_alive(data["keep_alive"])
    if not 0 <= data.get("top_logprobs", 0) <= MOST_TOP_LOGPROBS:
        raise BadRequestError(f"top_logprobs must be between 0 and {MOST_TOP_LOGPROBS}")


def _model(data: Mapping[str, Any], store: Store, nameless: Exception) -> Model:
    if not data.get("model"):
        raise nameless
    model = find_model(data["model"], store)
    if model is None:
        raise UnknownModelError(f"model '{data['model']}' not found")
    return model


def _check_abilities(data: Mapping[str, Any], model: Model, abilities: Mapping[str, str]) -> None:
    if data.get("think"):
        raise BadRequestError(f"{json.dumps(data['model'])} does not support thinking")
    for field, ability in abilities.items():
        if data.get(field):
            raise unsupported(model, ability)


def _request(data: Mapping[str, Any], model: Model, question: Question) -> Request:
    if len(question.images) > MOST_IMAGES:
        raise BadRequestError(f"{len(question.images)} images in one request: {MOST_IMAGES} are the most")
    return Request(
        name=data["model"],
        model=model,
        question=question,
        keep_alive=wire.parse_keep_alive(data["keep_alive"]) if "keep_alive" in data else None,
        options=wire.parse_options(data.get("options", {}), shift=data.get("shift", True)),
        template=data.get("format"),
        stream=data.get("stream", True),
        logprobs=data.get("logprobs", False),
        top_logprobs=data.get("top_logprobs", 0),
    )


def _message(piece: str) -> dict[str, object]:
    return {"message": {"role": "assistant", "content": piece}}
