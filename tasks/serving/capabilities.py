"""What a model can do: see, think, and hold a page in its context."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.core.errors import ModelError
from tasks.inference.schema import LoadedModel, Model, ModelDetails

_OCR_FAMILY = "tesseract"
"""Family of the embedded server's models, which have no context length and are made for a CPU."""


@dataclass(frozen=True)
class Capabilities:
    """What a server lists of a model; nothing if it is older than Ollama's capabilities."""

    name: str
    details: ModelDetails
    listed: tuple[str, ...]

    @classmethod
    def of(cls, name: str, model: Model, details: ModelDetails) -> Capabilities:
        """Return what /api/tags and /api/show list."""
        return cls(name, details, details.capabilities or model.capabilities)

    @property
    def thinks(self) -> bool:
        """Whether it thinks before it answers, unless a request forbids it."""
        return "thinking" in self.listed

    def require_vision(self) -> None:
        """Check that the model can read pages.

        Raises:
            ModelError: it cannot.
        """
        if self.listed and "vision" not in self.listed:
            raise ModelError(
                f"The model {self.name!r} cannot read images: its server lists {', '.join(self.listed)}, and no "
                "vision. Choose one that can with --model, such as qwen2.5vl:7b."
            )

    def require_schemas(self) -> None:
        """Check that the model can answer by a JSON Schema.

        Raises:
            ModelError: it cannot.
        """
        if self.details.family == _OCR_FAMILY:
            raise ModelError(
                f"The model {self.name!r} is OCR (Tesseract) and reads text alone: it cannot answer by a JSON Schema. "
                "Choose a vision model with --model, or omit the schema."
            )

    def notes(self, loaded: LoadedModel | None, num_ctx: int) -> list[str]:
        """Return warnings about how the model was loaded, a sentence each."""
        if self.details.family == _OCR_FAMILY:
            return []
        notes = []
        lengths = (self.details.context_length, loaded.context_length if loaded else 0)
        own = min(filter(None, lengths), default=num_ctx)
        if own < num_ctx:
            notes.append(
                f"{self.name} has a context of {own} tokens, to which the server lowers the {num_ctx} requested. "
                f"Pass --num-ctx {own}, and a --num-predict that leaves room for the page."
            )
        if loaded and loaded.size and not loaded.size_vram:
            notes.append(
                f"{self.name} runs on the CPU alone (size_vram is 0): pages will be slow. "
                "Use a machine with a GPU; --require-gpu makes this an error."
            )
        return notes
