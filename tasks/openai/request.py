"""The bodies of requests to a server that speaks OpenAI's API."""

import base64
import json
from typing import Any

from tasks.inference.schema import GenerateRequest
from tasks.openai.schema import Kind

_TOKEN_BYTES = 3000
"""Bytes of a streamed event: a token in JSON, beside an id, a name, a fingerprint and the token's probability."""
_STANDARD = {"top_p": "top_p", "presence_penalty": "presence_penalty"}
_SAMPLING = {
    Kind.UNKNOWN: _STANDARD,
    Kind.LLAMA_SERVER: {**_STANDARD, **{name: name for name in ("top_k", "min_p", "repeat_penalty", "repeat_last_n")}},
    Kind.LM_STUDIO: {**_STANDARD, "top_k": "top_k", "repeat_penalty": "repeat_penalty"},
    Kind.VLLM: {**_STANDARD, "top_k": "top_k", "min_p": "min_p", "repeat_penalty": "repetition_penalty"},
    Kind.SGLANG: {**_STANDARD, "top_k": "top_k", "min_p": "min_p", "repeat_penalty": "repetition_penalty"},
}
"""Options by Ollama's names, under each server's own. Sources: llama-server's README, vLLM's and SGLang's documents of
their sampling parameters, LM Studio's of its OpenAI-compatible endpoints."""
_TELL_LOGPROBS = {Kind.LLAMA_SERVER, Kind.VLLM, Kind.SGLANG}
_TEMPLATE_OPTIONS = {Kind.LLAMA_SERVER, Kind.VLLM, Kind.SGLANG}
"""Servers that pass options on to the model's chat template."""


def most_bytes(num_predict: int) -> int:
    """Return the maximum bytes of a page's answer."""
    return 1_000_000 + _TOKEN_BYTES * num_predict


def load_body(request: GenerateRequest) -> dict[str, Any]:
    """Return the body of the request for one token, which loads the model on servers that load it when it is used."""
    return {"model": request.model, "messages": [{"role": "user", "content": "."}], "max_tokens": 1}


def page_body(
    kind: Kind, request: GenerateRequest, prompt: str, images: tuple[bytes, ...] = (), temperature: float = 0.0
) -> dict[str, Any]:
    """Return the body of a page's request.

    Args:
        kind: the program that is asked; others refuse options that they do not know.
        request: the options.
        prompt: the instruction; empty for the images alone.
        images: PNG files, which are sent as data URLs.
        temperature: 0 for the likeliest answer.
    """
    content: list[dict[str, Any]] = [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{base64.b64encode(image).decode()}"}}
        for image in images
    ]
    if prompt:
        content.append({"type": "text", "text": prompt})
    system = [{"role": "system", "content": request.system}] if request.system else []
    names = _SAMPLING[kind]
    body: dict[str, Any] = {
        "model": request.model,
        "messages": [*system, {"role": "user", "content": content}],
        "max_tokens": request.num_predict,
        "temperature": temperature,
        "stream": True,
        "stream_options": {"include_usage": True},
        **{names[name]: value for name, value in request.sampling if name in names},
    }
    if request.stop:
        body["stop"] = list(request.stop)
    if request.schema:
        schema = {"name": "page", "schema": json.loads(request.schema), "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    if request.logprobs and kind in _TELL_LOGPROBS:
        body |= {"logprobs": True, "top_logprobs": 1}
    if kind in _TEMPLATE_OPTIONS:
        body["chat_template_kwargs"] = {"enable_thinking": request.think is True}
    return body
