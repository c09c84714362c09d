"""What a model can do, before it is asked for pages: see, think, and hold a page in its context."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.core.errors import ModelError
from tasks.inference.schema import LoadedModel, Model, ModelDetails

_OCR_FAMILY = "tesseract"
"""Of the embedded server: it has no context to speak of, and is made for a CPU."""


@dataclass(frozen=True)
class Capabilities:
    """What a server tells of a model; nothing where it is older than Ollama's capabilities."""

    name: str
    details: ModelDetails
    told: tuple[str, ...]

    @classmethod
    def of(cls, name: str, model: Model, details: ModelDetails) -> Capabilities:
        """From what /api/tags and /api/show tell."""
        return cls(name, details, details.capabilities or model.capabilities)

    @property
    def thinks(self) -> bool:
        """Whether it thinks before it answers, unless it is told not to."""
        return "thinking" in self.told

    def require_vision(self) -> None:
        """See that the model can read pages.

        Raises:
            ModelError: it cannot.
        """
        if self.told and "vision" not in self.told:
            raise ModelError(
                f"The model {self.name!r} cannot read images: its server lists {', '.join(self.told)}, and no vision. "
                "Choose one that can with --model, such as qwen2.5vl:7b."
            )

    def notes(self, loaded: LoadedModel | None, num_ctx: int) -> list[str]:
        """What is to be said of how the model was loaded, a sentence each."""
        if self.details.family == _OCR_FAMILY:
            return []
        notes = []
        told = (self.details.context_length, loaded.context_length if loaded else 0)
        own = min((length for length in told if length), default=num_ctx)
        if own < num_ctx:
            notes.append(
                f"{self.name} has a context of {own} tokens, and the server lowers the {num_ctx} asked for to that. "
                f"Pass --num-ctx {own}, and a --num-predict that leaves room for the page."
            )
        if loaded and loaded.size and not loaded.size_vram:
            notes.append(
                f"{self.name} runs on the CPU alone (size_vram is 0): pages will be slow. "
                "Use a machine with a GPU; --require-gpu makes this an error."
            )
        return notes
