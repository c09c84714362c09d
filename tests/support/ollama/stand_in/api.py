"""Ollama's messages: the stand-in's requests and responses."""

from __future__ import annotations

import base64
import json
import time
from datetime import UTC, datetime
from typing import Any

from starlette.responses import Response

from tests.support.ollama.stand_in.weights import CONTEXT_LENGTH, MODELS, Model

Fields = dict[str, Any]

NDJSON = "application/x-ndjson"


def find(body: Fields) -> Model | None:
    """Find the model that a request names."""
    name = (body.get("model") or body.get("name") or "").lower().removeprefix("registry.ollama.ai/")
    name = name.removeprefix("library/")
    return MODELS.get(name if ":" in name else f"{name}:latest")


def capabilities(model: Model) -> list[str]:
    """List what a model can do."""
    return ["completion", "vision"] if model.vision else ["completion"]


def listed(model: Model) -> Fields:
    """Describe a model as /api/tags does."""
    details = model.details | {"context_length": CONTEXT_LENGTH, "embedding_length": 1024}
    about = {"digest": model.digest, "size": model.weights.stat().st_size, "modified_at": now()}
    return {"name": model.name, "model": model.name, "details": details, "capabilities": capabilities(model)} | about


def question(body: Fields, options: Fields) -> Fields:
    """Put a request into llama-server's form."""
    images = [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{each}"}} for each in _images(body)]
    content = [*images, {"type": "text", "text": body["prompt"]}]
    limit = options.get("num_predict", -1)
    question = {"messages": [{"role": "user", "content": content}], "max_tokens": limit if limit > 0 else -1}
    question |= {name: options[name] for name in ("temperature", "top_p", "top_k", "seed", "stop") if name in options}
    if isinstance(schema := body.get("format"), dict):
        question["response_format"] = {"type": "json_schema", "json_schema": {"name": "format", "schema": schema}}
    return question | {"stream": True, "stream_options": {"include_usage": True}, "cache_prompt": False}


def _images(body: Fields) -> list[str]:
    for image in body.get("images") or []:
        base64.b64decode(image, validate=True)
    return body.get("images") or []


def numbers(timings: Fields, arrived: int, loaded: int) -> Fields:
    """Give the counts and durations of an answer."""
    return {
        "total_duration": time.monotonic_ns() - arrived,
        "load_duration": loaded - arrived,
        "prompt_eval_count": timings["prompt_n"] + timings["cache_n"],
        "prompt_eval_duration": int(timings["prompt_ms"] * 1e6),
        "eval_count": timings["predicted_n"],
        "eval_duration": int(timings["predicted_ms"] * 1e6),
    }


def seconds(keep_alive: float | str) -> float:
    """Read a keep-alive."""
    if isinstance(keep_alive, str):
        units = {"s": 1, "m": 60, "h": 3600}
        return float(keep_alive[:-1]) * units[keep_alive[-1]]
    return float(keep_alive)


def reply(fields: Fields, status: int = 200) -> Response:
    """Make a JSON response."""
    return Response(json.dumps(fields), status, media_type="application/json; charset=utf-8")


def failure(status: int, text: str) -> Response:
    """Make an error."""
    return reply({"error": text}, status)


def line(fields: Fields) -> bytes:
    """Make a line of a stream."""
    return json.dumps(fields).encode() + b"\n"


def now() -> str:
    """Give the present time."""
    return datetime.now(UTC).isoformat()
