"""/v1/models and /v1/chat/completions, Ollama's endpoints for OpenAI's clients."""

import json
import random
import time
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from starlette.requests import Request
from starlette.responses import Response

from tasks.embedded import fields, wire
from tasks.embedded.answers import logprobs
from tasks.embedded.catalog import shown_model
from tasks.embedded.errors import BadRequestError, RequestError
from tasks.embedded.inference import Inference, Outcome, pieces, refusal
from tasks.embedded.models import Model, Store
from tasks.embedded.replies import finished, reply, shortened, streamed, to_json
from tasks.embedded.requests import parse_chat

Fields: TypeAlias = dict[str, Any]

IMAGE_TYPES = ("image/jpeg", "image/jpg", "image/png", "image/webp", "")
EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "max": "max"} | dict.fromkeys(
    ("xhigh", "ultra"), "max"
)
OPTIONS = ("temperature", "top_p", "seed", "frequency_penalty", "presence_penalty")
"""Fields that have the names of Ollama's options."""


class OpenAI:
    """Answers OpenAI's clients with the results of Ollama's endpoints."""

    def __init__(self, store: Store, inference: Inference) -> None:
        self._store = store
        self._inference = inference

    async def models(self, _: Request) -> Response:
        """List the installed models."""
        return finished({"object": "list", "data": [_listed(each.name, each) for each in self._store.models()]})

    async def model(self, request: Request) -> Response:
        """Describe a model."""
        name = request.path_params["model"]
        try:
            return finished(_listed(name, shown_model(name, self._store)))
        except RequestError as error:
            return refused(error.status, str(error))

    async def chat(self, body: bytes) -> Response:
        """Read a page, whose image is part of a message."""
        try:
            data = wire.parse_body(body, fields.COMPLETION_FIELDS, "ChatCompletionRequest")
            chat = _to_chat(data)
        except BadRequestError as error:
            return reply(_error(400, str(error)), 400)
        try:
            outcome = await self._inference.infer(parse_chat(chat, self._store))
        except Exception as error:  # noqa: BLE001  each is answered
            return refused(*refusal(error))
        if data.get("stream"):
            usage = (data.get("stream_options") or {}).get("include_usage") is True
            return streamed(_events(outcome, usage=usage), "text/event-stream")
        return finished(_completion(outcome))


def refused(status: int, text: str) -> Response:
    """Return an error in OpenAI's form."""
    return finished(_error(status, text), status)


def _error(status: int, text: str) -> Fields:
    kind = {400: "invalid_request_error", 404: "not_found_error"}.get(status, "api_error")
    return {"error": {"message": shortened(text), "type": kind, "param": None, "code": None}}


def _listed(name: str, model: Model) -> Fields:
    namespace = model.name.rpartition("/")[0].rpartition("/")[2] or "library"
    return {"id": name, "object": "model", "created": int(model.modified_at.timestamp()), "owned_by": namespace}


def _to_chat(data: Mapping[str, Any]) -> Fields:
    """Return the fields of /api/chat for a completion's request."""
    if not data.get("messages"):
        raise BadRequestError("[] is too short - 'messages'")
    chat: Fields = {
        "model": data.get("model", ""),
        "messages": [_message(each) for each in data["messages"]],
        "options": {name: data[name] for name in OPTIONS if name in data},
        "logprobs": data.get("logprobs", False),
        "top_logprobs": data.get("top_logprobs", 0),
        "tools": data.get("tools", []),
        "think": _think(data.get("reasoning_effort", "")),
        "format": _format(data.get("response_format", {})),
        "stream": data.get("stream", False),
    }
    if "max_tokens" in data:
        chat["options"]["num_predict"] = data["max_tokens"]
    if stop := data.get("stop"):
        words = stop if isinstance(stop, list) else [stop]
        chat["options"]["stop"] = [word for word in words if isinstance(word, str)]
    return chat


def _message(message: object) -> Fields:
    """Return a message, whose content may have parts, in Ollama's form."""
    fields = wire.check_fields(message, {"role": "string"}, "ChatCompletionRequest.messages")
    content = fields.get("content")
    if isinstance(content, str):
        return {"role": fields.get("role", ""), "content": content}
    if not isinstance(content, list):
        raise BadRequestError(f"invalid message content type: {wire.go_type(content)}")
    texts, images = [], []
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        value = part[kind] if kind in {"text", "image_url"} and kind in part else None
        if kind == "image_url":
            images.append(_image(value.get("url") if isinstance(value, dict) else value))
        elif kind == "text" and isinstance(value, str):
            texts.append(value)
        else:
            raise BadRequestError("invalid message format")
    return {"role": fields.get("role", ""), "content": "\n".join(texts), "images": images}


def _image(url: object) -> str:
    if not isinstance(url, str):
        raise BadRequestError("invalid message format")
    if url.startswith(("http://", "https://")):
        raise BadRequestError("image URLs are not currently supported, please use base64 encoded data instead")
    for kind in IMAGE_TYPES:
        if url.startswith(start := f"data:{kind};base64,"):
            try:
                wire.parse_images([image := url.removeprefix(start)])
            except BadRequestError:
                break
            return image
    raise BadRequestError("invalid image input")


def _think(effort: str) -> str | bool | None:
    if effort in {"", "none"}:
        return False if effort else None
    if effort not in EFFORTS:
        allowed = '"minimal", "low", "medium", "high", "xhigh", "ultra", "max", or "none"'
        raise BadRequestError(f"invalid reasoning value: {json.dumps(effort)} (must be {allowed})")
    return EFFORTS[effort]


def _format(response: Mapping[str, Any]) -> object:
    kind = str(response.get("type", "")).strip().lower()
    if kind == "json_object":
        return "json"
    schema = response.get("json_schema")
    return schema.get("schema") if kind == "json_schema" and isinstance(schema, dict) else None


def _head(outcome: Outcome, kind: str) -> Fields:
    return {
        "id": f"chatcmpl-{random.randrange(999)}",  # noqa: S311  a name, no secret
        "object": kind,
        "created": int(time.time()),
        "model": outcome.request.name,
        "system_fingerprint": "fp_ollama",
    }


def _usage(outcome: Outcome) -> Fields:
    prompt, answer = (int(str(outcome.numbers.get(name, 0))) for name in ("prompt_eval_count", "eval_count"))
    return {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}


def _logprobs(outcome: Outcome, piece: str) -> Fields:
    request = outcome.request
    return (
        {"logprobs": {"content": logprobs(piece, request.top_logprobs, outcome.confidence)}} if request.logprobs else {}
    )


def _completion(outcome: Outcome) -> Fields:
    message = {"role": "assistant", "content": outcome.text}
    choice = {"index": 0, "message": message, "finish_reason": outcome.done_reason, **_logprobs(outcome, outcome.text)}
    return {**_head(outcome, "chat.completion"), "choices": [choice], "usage": _usage(outcome)}


def _events(outcome: Outcome, *, usage: bool) -> Iterator[bytes]:
    head = _head(outcome, "chat.completion.chunk")
    deltas = [{"content": piece} for piece in pieces(outcome.text) or [""]]
    choices: list[Fields] = [
        {"index": 0, "delta": delta, "finish_reason": None, **_logprobs(outcome, delta["content"])} for delta in deltas
    ]
    choices[0]["delta"] = {"role": "assistant", **deltas[0]}
    choices.append({"index": 0, "delta": {}, "finish_reason": outcome.done_reason})
    chunks: list[Fields] = [{**head, "choices": [choice]} for choice in choices]
    if usage:
        chunks.append({**head, "choices": [], "usage": _usage(outcome)})
    for chunk in chunks:
        yield b"data: " + to_json(chunk) + b"\n\n"
    yield b"data: [DONE]\n\n"
