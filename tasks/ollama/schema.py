"""What goes over Ollama's wire: its answers as models, and the request of a page."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict

from tasks.core.jobs import Frozen


class Timing(Frozen):
    """Ollama's own durations of one answer, in seconds; absent fields count as 0."""

    total: float = 0.0
    load: float = 0.0
    prompt_eval: float = 0.0
    eval: float = 0.0

    @property
    def queue(self) -> float:
        """Seconds that the request waited inside the server."""
        return max(0.0, self.total - self.load - self.prompt_eval - self.eval)


class Wire(BaseModel):
    """What Ollama sends: more fields than we read, some of them absent."""

    model_config = ConfigDict(extra="ignore", frozen=True, protected_namespaces=())


class ModelDetails(Wire):
    """What kind of model it is; `family` decides whether Ollama runs its requests in parallel."""

    family: str = ""
    parameter_size: str = ""
    quantization_level: str = ""


class Model(Wire):
    """A model on the server's disk (/api/tags)."""

    name: str
    digest: str
    size: int = 0
    details: ModelDetails = ModelDetails()


class LoadedModel(Wire):
    """A model in memory (/api/ps).

    `size_vram` under `size` (both bytes): a part of it runs on the CPU. `expires_at` moves on with every request.
    """

    name: str
    digest: str = ""
    size: int = 0
    size_vram: int = 0
    context_length: int | None = None
    expires_at: datetime | None = None


class PullProgress(Wire):
    """A step of a download; `total` and `completed` in bytes, 0 where the step has no size."""

    status: str = ""
    digest: str = ""
    total: int = 0
    completed: int = 0


class Answer(Wire):
    """What the model wrote, and what it took."""

    response: str
    done: bool
    created_at: datetime | None = None
    done_reason: str = ""
    prompt_eval_count: int = 0
    eval_count: int = 0
    total_duration: int = 0
    load_duration: int = 0
    prompt_eval_duration: int = 0
    eval_duration: int = 0

    @property
    def timing(self) -> Timing:
        """Ollama's durations, in seconds (they are sent in nanoseconds)."""
        return Timing(
            total=self.total_duration / 1e9,
            load=self.load_duration / 1e9,
            prompt_eval=self.prompt_eval_duration / 1e9,
            eval=self.eval_duration / 1e9,
        )


class Tags(Wire):
    """What is on the server's disk."""

    models: tuple[Model, ...] = ()


class Loaded(Wire):
    """What is in the server's memory."""

    models: tuple[LoadedModel, ...] = ()


class Shown(Wire):
    """What /api/show tells of a model."""

    details: ModelDetails = ModelDetails()


M = TypeVar("M", Model, LoadedModel)


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    """A page's request, and the warm-up's: alike in all that would make Ollama load the model again.

    Attributes:
        model: Ollama's name for it.
        num_ctx: tokens; a change of it reloads the model.
        num_predict: most tokens of the answer.
        keep_alive: seconds that the model stays loaded afterwards.
    """

    model: str
    num_ctx: int
    num_predict: int
    keep_alive: float

    def body(self, prompt: str, images: tuple[bytes, ...] = (), temperature: float = 0.0) -> dict[str, Any]:
        """The JSON of a call. Without a prompt it only loads the model."""
        return {
            "model": self.model,
            "prompt": prompt,
            "images": [base64.b64encode(image).decode() for image in images],
            "stream": False,
            # Without this an answer may run on over a shifting context, to ten times num_ctx.
            "shift": False,
            "keep_alive": f"{math.ceil(self.keep_alive)}s",
            "options": {"num_ctx": self.num_ctx, "num_predict": self.num_predict, "temperature": temperature},
        }


_DEFAULTS = ("registry.ollama.ai", "library")
"""Host and namespace of a name that has none."""


def find_model(name: str, models: tuple[M, ...]) -> M | None:
    """Return the model of that name, however it is written; None if it is not listed."""
    return next((model for model in models if canonical(model.name) == canonical(name)), None)


def canonical(name: str) -> str:
    """Return a model's name in full, as host/namespace/model:tag in lower case: equal for the same model.

    By Ollama's rules (types/model/name.go): what is missing is registry.ollama.ai, library and latest; a scheme is
    dropped; case does not matter.
    """
    path, colon, tag = name.strip().rpartition(":")
    if not colon or "/" in tag:  # the colon of a port
        path, tag = name.strip(), ""
    parts = path.rpartition("://")[2].rsplit("/", 2)
    host, namespace = [*_DEFAULTS[: 3 - len(parts)], *parts[:-1]]
    return f"{host}/{namespace}/{parts[-1]}:{tag or 'latest'}".lower()
