"""Requests to a model and its answers, in the shape of Ollama's API; other APIs are converted to it.

Optional fields that are absent, null or of another type count as not sent.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from tasks.core.jobs import Frozen
from tasks.text.legible import legible

_LARGEST_COUNT = 2**63


class Timing(Frozen):
    """Ollama's durations of one answer, in seconds; 0 where absent."""

    total: float = 0.0
    load: float = 0.0
    prompt_eval: float = 0.0
    eval: float = 0.0

    @property
    def queue(self) -> float:
        """Seconds that the request waited in the server."""
        return max(0.0, self.total - self.load - self.prompt_eval - self.eval)


def to_count(value: object) -> int:
    """Return a whole number of 0 or more; 0 for anything else."""
    fits = isinstance(value, int | float) and 0 <= value < _LARGEST_COUNT
    return int(value) if fits and isinstance(value, int | float) else 0


def _moment(value: object, validate: ValidatorFunctionWrapHandler) -> datetime | None:
    try:
        moment: datetime | None = validate(value)
    except ValidationError:
        return None
    return moment if moment is not None and moment.tzinfo is not None else None


Count = Annotated[int, BeforeValidator(to_count)]
Moment = Annotated[datetime | None, WrapValidator(_moment)]
Word = Annotated[str, BeforeValidator(lambda value: legible(value) if isinstance(value, str) else "")]
Words = Annotated[
    tuple[str, ...],
    BeforeValidator(lambda value: tuple(map(str, value)) if isinstance(value, list | tuple) else ()),
]


class Wire(BaseModel):
    """The base of responses, which have more fields than Hearth reads."""

    model_config = ConfigDict(extra="ignore", frozen=True, protected_namespaces=())

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, data: object) -> object:
        return {key: value for key, value in data.items() if value is not None} if isinstance(data, dict) else data


class ModelDetails(Wire):
    """The kind of a model; `family` decides whether Ollama runs its requests in parallel.

    `capabilities` (empty) and `context_length` (the model's own, in tokens; 0) are missing from some servers. `weights`
    is the name of the file or repository with its weights, where it is served under another name.
    """

    family: Word = ""
    parameter_size: Word = ""
    quantization_level: Word = ""
    capabilities: Words = ()
    context_length: Count = 0
    weights: Word = ""


class Model(Wire):
    """A model on the server's disk (/api/tags)."""

    name: str
    digest: str
    size: Count = 0
    details: ModelDetails = ModelDetails()
    capabilities: Words = ()


class LoadedModel(Wire):
    """A model in memory (/api/ps).

    If `size_vram` is below `size` (both bytes), part of it runs on the CPU. Every request postpones `expires_at`.
    """

    name: str
    digest: Word = ""
    size: Count = 0
    size_vram: Count = 0
    context_length: Count | None = None
    expires_at: Moment = None


class PullProgress(Wire):
    """A step of a download; `total` and `completed` in bytes, 0 where the step has no size."""

    status: Word = ""
    digest: Word = ""
    total: Count = 0
    completed: Count = 0


class Answer(Wire):
    """A whole answer, with its costs.

    Attributes:
        response: the text; U+FFFD replaces undecodable characters.
        done: the model finished or reached a limit; False if the answer was broken off.
        thought: characters of thinking before the text.
        confidence: geometric mean of the probabilities of its tokens, 0 to 1; None if the server does not tell them.
        first_seconds: from the request to the first token, by this machine's clock; None if there was none.
    """

    response: str
    done: bool
    thought: int = 0
    confidence: float | None = None
    first_seconds: float | None = None
    created_at: Moment = None
    done_reason: Word = ""
    prompt_eval_count: Count = 0
    eval_count: Count = 0
    total_duration: Count = 0
    load_duration: Count = 0
    prompt_eval_duration: Count = 0
    eval_duration: Count = 0

    @property
    def timing(self) -> Timing:
        """The durations, converted from nanoseconds."""
        return Timing(
            total=self.total_duration / 1e9,
            load=self.load_duration / 1e9,
            prompt_eval=self.prompt_eval_duration / 1e9,
            eval=self.eval_duration / 1e9,
        )


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    """The options of a page's request and of the warm-up's, which must be equal: a change may reload the model.

    Attributes:
        model: the server's name for it.
        num_ctx: tokens; a change reloads the model.
        num_predict: maximum tokens of the answer.
        keep_alive: seconds that the model stays loaded afterwards.
        thinks: the model can think, and the request turns that off, because it would use up num_predict.
        think: whether it is to think; None: not, where its server says that it can.
        chat: pages go through Ollama's /api/chat instead of /api/generate.
        system: system message; empty for the model's own.
        stop: texts at which an answer ends.
        sampling: options by Ollama's names, beside the temperature.
        schema: JSON Schema, as text, that the answer must follow; empty for free text.
        logprobs: ask for the probabilities of the tokens.
    """

    model: str
    num_ctx: int
    num_predict: int
    keep_alive: float
    thinks: bool = False
    think: bool | None = None
    chat: bool = False
    system: str = ""
    stop: tuple[str, ...] = ()
    sampling: tuple[tuple[str, float], ...] = ()
    schema: str = ""
    logprobs: bool = False
