"""What goes over Ollama's wire: its answers as models, and the bodies of its requests.

What is not vital may be absent, null or of another kind than Ollama's: it then counts as not sent.
"""

from __future__ import annotations

import base64
import json
import math
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, InstanceOf, model_validator

from tasks.inference.schema import GenerateRequest, LoadedModel, Model, ModelDetails, Wire, Words, to_count


def _logprobs(value: object) -> tuple[float, ...]:
    """Return the tokens' logarithms of their probabilities; what is none counts as not sent."""
    found = (entry.get("logprob") for entry in value if isinstance(entry, dict)) if isinstance(value, list) else ()
    return tuple(float(logprob) for logprob in found if isinstance(logprob, int | float) and logprob <= 0)


class Piece(Wire):
    """A line of an answer that is streamed, or all of one that is not. Its text may end in half a character."""

    response: InstanceOf[str]
    done: bool
    thinking: InstanceOf[str] = ""
    logprobs: Annotated[tuple[float, ...], BeforeValidator(_logprobs)] = ()

    @model_validator(mode="before")
    @classmethod
    def _of_either_call(cls, data: object) -> object:
        """Take the message of /api/chat for the fields of /api/generate. An empty text may be null or absent."""
        if not isinstance(data, dict):
            return data
        if isinstance(message := data.get("message"), dict) and "response" not in data:
            data = {**data, "response": message.get("content"), "thinking": message.get("thinking") or ""}
        if data.get("response") is None and ("response" in data or data.get("thinking")):
            return {**data, "response": ""}
        return data


class Tags(Wire):
    """What is on the server's disk."""

    models: tuple[Model, ...] = ()


class Loaded(Wire):
    """What is in the server's memory."""

    models: tuple[LoadedModel, ...] = ()


class Shown(Wire):
    """What /api/show tells of a model."""

    details: ModelDetails = ModelDetails()
    capabilities: Words = ()
    model_info: Annotated[dict[str, Any], BeforeValidator(lambda value: value if isinstance(value, dict) else {})] = (
        Field(default_factory=dict)
    )

    @property
    def all_details(self) -> ModelDetails:
        """The details, with what is told beside them."""
        architecture = self.model_info.get("general.architecture")
        own = to_count(self.model_info.get(f"{architecture}.context_length"))
        told = {"capabilities": self.capabilities, "context_length": own or self.details.context_length}
        return self.details.model_copy(update=told)


def load_body(request: GenerateRequest) -> dict[str, Any]:
    """Return the body of the call that loads a model and answers nothing."""
    return {**_shared(request, 0.0), "prompt": "", "images": []}


def page_body(
    request: GenerateRequest, prompt: str, images: tuple[bytes, ...] = (), temperature: float = 0.0
) -> dict[str, Any]:
    """Return the body of a page's call, of /api/chat if the request says so, else of /api/generate."""
    encoded = [base64.b64encode(image).decode() for image in images]
    extra: dict[str, Any] = {}
    if request.schema:
        extra["format"] = json.loads(request.schema)
    if request.logprobs:
        extra["logprobs"] = True
    if not request.chat:
        system = {"system": request.system} if request.system else {}
        return {**_shared(request, temperature), **system, **extra, "prompt": prompt, "images": encoded}
    messages: list[dict[str, Any]] = [{"role": "system", "content": request.system}] if request.system else []
    messages.append({"role": "user", "content": prompt, "images": encoded})
    return {**_shared(request, temperature), **extra, "messages": messages}


def _shared(request: GenerateRequest, temperature: float) -> dict[str, Any]:
    options = {"num_ctx": request.num_ctx, "num_predict": request.num_predict, "temperature": temperature}
    return {
        "model": request.model,
        "stream": True,
        **({"think": False} if request.thinks else {}),
        # Without this an answer may run on over a shifting context, to ten times num_ctx.
        "shift": False,
        "keep_alive": f"{math.ceil(request.keep_alive)}s",
        "options": {
            **options,
            **dict(request.sampling),
            **({"stop": list(request.stop)} if request.stop else {}),
        },
    }
