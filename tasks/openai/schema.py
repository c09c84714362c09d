"""What goes over OpenAI's wire: its answers as models. What is not vital may be absent, null or of another kind."""

import hashlib
import json
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, InstanceOf

from tasks.inference.schema import Count, Wire, Word


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _objects(value: object) -> list[Any]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list | tuple) else []


Mapping = Annotated[dict[str, Any], BeforeValidator(_mapping)]


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    parts = (part.get("text") for part in _objects(value))
    return "".join(part for part in parts if isinstance(part, str))


Text = Annotated[InstanceOf[str], BeforeValidator(_text)]
"""A text, or the texts of a list of parts; it may end in half a character."""


def _milliseconds(value: object) -> float:
    return float(value) if isinstance(value, int | float) and 0 <= value < _MOST_MILLISECONDS else 0.0


_MOST_MILLISECONDS = 1e12
Milliseconds = Annotated[float, BeforeValidator(_milliseconds)]
_Absent = BeforeValidator(lambda value: value if isinstance(value, dict) else None)
"""A field of another kind counts as not sent."""


class Kind(StrEnum):
    """The program behind the API, as far as it can be told: it decides which options can be sent beside OpenAI's."""

    LLAMA_SERVER = "llama-server"
    VLLM = "vLLM"
    SGLANG = "SGLang"
    LM_STUDIO = "LM Studio"
    UNKNOWN = ""


_OWNERS = {
    "llamacpp": Kind.LLAMA_SERVER,
    "vllm": Kind.VLLM,
    "sglang": Kind.SGLANG,
    "organization_owner": Kind.LM_STUDIO,
}


class ListedModel(Wire):
    """A model of /v1/models."""

    name: str = Field(alias="id")
    root: Word = ""
    owned_by: Word = ""
    max_model_len: Count = 0
    meta: Mapping = Field(default_factory=dict)

    @property
    def kind(self) -> Kind:
        """The program that lists it."""
        return _OWNERS.get(self.owned_by, Kind.UNKNOWN)

    @property
    def context_length(self) -> int:
        """Tokens that a request may take, its answer included; 0 if the server does not say."""
        length = self.max_model_len or self.meta.get("n_ctx")
        return length if isinstance(length, int) and length > 0 else 0

    @property
    def digest(self) -> str:
        """What stands for the model's digest, which this API does not have: made of all that is said of the model."""
        of_weights = {key: self.meta.get(key) for key in ("n_params", "n_vocab", "n_embd", "size", "ftype")}
        facts = {"id": self.name, "root": self.root, **{key: value for key, value in of_weights.items() if value}}
        return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


class ModelList(Wire):
    """/v1/models."""

    data: tuple[ListedModel, ...]


class Delta(Wire):
    """What a piece adds to the answer; a server that does not stream sends all of it as `message`."""

    content: Text = ""
    reasoning_content: Text = ""
    reasoning: Text = ""
    refusal: Text = ""


def _logprobs(value: object) -> tuple[float, ...]:
    """Return the tokens' logarithms of their probabilities; what is none counts as not sent."""
    tokens = _objects(_mapping(value).get("content"))
    found = (token.get("logprob") for token in tokens)
    return tuple(float(logprob) for logprob in found if isinstance(logprob, int | float) and logprob <= 0)


class Choice(Wire):
    """One answer of a piece; Hearth asks for one."""

    delta: Annotated[Delta, BeforeValidator(_mapping)] = Delta()
    message: Annotated[Delta | None, _Absent] = None
    finish_reason: Word = ""
    logprobs: Annotated[tuple[float, ...], BeforeValidator(_logprobs)] = ()

    @property
    def added(self) -> Delta:
        """What it adds."""
        return self.message or self.delta


class Usage(Wire):
    """Tokens."""

    prompt_tokens: Count = 0
    completion_tokens: Count = 0


class Timings(Wire):
    """How long llama-server worked, in milliseconds; other servers do not tell."""

    prompt_ms: Milliseconds = 0.0
    predicted_ms: Milliseconds = 0.0


class Piece(Wire):
    """An event of an answer that is streamed, or all of one that is not; `done` for the mark of a stream's end."""

    choices: Annotated[tuple[Choice, ...], BeforeValidator(_objects)] = ()
    usage: Annotated[Usage | None, _Absent] = None
    timings: Annotated[Timings | None, _Absent] = None
    done: Annotated[bool, BeforeValidator(lambda value: value is True)] = False


class Props(Wire):
    """llama-server's /props."""

    total_slots: Count = 0
    model_path: Word = ""
    modalities: Mapping = Field(default_factory=dict)
