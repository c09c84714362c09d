"""Ollama's messages: its responses as models, and the bodies of requests.

Optional fields that are absent, null or of another type than Ollama's count as not sent.
"""

import base64
import json
import math
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, InstanceOf, model_validator

from tasks.inference.schema import GenerateRequest, LoadedModel, Model, ModelDetails, Wire, Words, to_count


def _logprobs(value: object) -> tuple[float, ...]:
    found = (entry.get("logprob") for entry in value if isinstance(entry, dict)) if isinstance(value, list) else ()
    return tuple(float(logprob) for logprob in found if isinstance(logprob, int | float) and logprob <= 0)


class Piece(Wire):
    """A line of a streamed answer, or a whole answer. Its text may end in half a character."""

    response: InstanceOf[str]
    done: bool
    thinking: InstanceOf[str] = ""
    logprobs: Annotated[tuple[float, ...], BeforeValidator(_logprobs)] = ()

    @model_validator(mode="before")
    @classmethod
    def _fill_response(cls, data: object) -> object:
        if not isinstance(data, dict):
            return data
        if isinstance(message := data.get("message"), dict) and "response" not in data:  # of /api/chat
            data = {**data, "response": message.get("content"), "thinking": message.get("thinking") or ""}
        if data.get("response") is None and ("response" in data or data.get("thinking")):
            return {**data, "response": ""}
        return data


class Tags(Wire):
    """The response of /api/tags."""

    models: tuple[Model, ...] = ()


class Loaded(Wire):
    """The response of /api/ps."""

    models: tuple[LoadedModel, ...] = ()


class Shown(Wire):
    """The response of /api/show."""

    details: ModelDetails = ModelDetails()
    capabilities: Words = ()
    model_info: Annotated[dict[str, Any], BeforeValidator(lambda value: value if isinstance(value, dict) else {})] = (
        Field(default_factory=dict)
    )

    @property
    def all_details(self) -> ModelDetails:
        """The details, completed from the fields beside them."""
        architecture = self.model_info.get("general.architecture")
        own = to_count(self.model_info.get(f"{architecture}.context_length"))
        beside = {"capabilities": self.capabilities, "context_length": own or self.details.context_length}
        return self.details.model_copy(update=beside)


def load_body(request: GenerateRequest) -> dict[str, Any]:
    """Return the body of the request that only loads a model."""
    return {**_shared(request, 0.0), "prompt": "", "images": []}


def page_body(
    request: GenerateRequest, prompt: str, images: tuple[bytes, ...] = (), temperature: float = 0.0
) -> dict[str, Any]:
    """Return the body of a page's request to /api/chat if `request.chat`, else to /api/generate."""
    encoded = [base64.b64encode(image).decode() for image in images]
    body = _shared(request, temperature)
    if request.schema:
        body["format"] = json.loads(request.schema)
    if request.logprobs:
        body["logprobs"] = True
    if not request.chat:
        system = {"system": request.system} if request.system else {}
        return {**body, **system, "prompt": prompt, "images": encoded}
    messages: list[dict[str, Any]] = [{"role": "system", "content": request.system}] if request.system else []
    messages.append({"role": "user", "content": prompt, "images": encoded})
    return {**body, "messages": messages}


def _shared(request: GenerateRequest, temperature: float) -> dict[str, Any]:
    options = {"num_ctx": request.num_ctx, "num_predict": request.num_predict, "temperature": temperature}
    stop = {"stop": list(request.stop)} if request.stop else {}
    return {
        "model": request.model,
        "stream": True,
        **({"think": False} if request.thinks else {}),
        # Without this an answer may run on over a shifting context, to ten times num_ctx.
        "shift": False,
        "keep_alive": f"{math.ceil(request.keep_alive)}s",
        "options": {**options, **dict(request.sampling), **stop},
    }
