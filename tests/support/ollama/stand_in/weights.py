"""The models that the stand-in for Ollama has, made the first time that they are needed."""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.support.tools import LLAMA_SERVER, ROOT

MAKER = Path(__file__).with_name("make_models.py")
CONTEXT_LENGTH = 32_768


@dataclass(frozen=True)
class Model:
    """A model.

    Args:
        name: as it is listed.
        file: of its weights.
        vision: whether it takes pictures.
        family: which architecture it is said to have.
    """

    name: str
    file: str
    vision: bool = True
    family: str = "llama"

    @property
    def weights(self) -> Path:
        """Return the file of the weights."""
        return directory() / self.file

    @property
    def arguments(self) -> tuple[str, ...]:
        """Return the arguments with which llama-server loads the model."""
        projector = ("--mmproj", str(directory() / "projector.mmproj")) if self.vision else ()
        return ("--model", str(self.weights), *projector)

    @property
    def digest(self) -> str:
        """Return 64 digits that tell these weights from others."""
        return hashlib.sha256(f"{self.name} {directory().name}".encode()).hexdigest()

    @property
    def details(self) -> dict[str, object]:
        """Return the `details` of Ollama's API."""
        return {
            "parent_model": "",
            "format": "gguf",
            "family": self.family,
            "families": [self.family],
            "parameter_size": "5.11M",
            "quantization_level": "F16",
        }


MODELS = {
    model.name: model
    for model in (
        Model("chain:latest", "chain.gguf"),
        Model("slow:latest", "slow.gguf"),
        Model("repeating:latest", "repeating.gguf"),
        Model("alternating:latest", "alternating.gguf"),
        Model("text:latest", "chain.gguf", vision=False),
        Model("cut:latest", "cut.gguf"),
        Model("unknown:latest", "unknown.gguf", family="unheardof"),
    )
}


@cache
def directory() -> Path:
    """Make the weights, unless a maker like today's has, and return where they are."""
    version = hashlib.sha256(MAKER.read_bytes()).hexdigest()[:12]
    made = ROOT / ".tools" / "models" / version
    if not made.exists():
        made.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=made.parent, ignore_cleanup_errors=True) as fresh:
            python = Path(LLAMA_SERVER.command).with_name("python")
            subprocess.run([python, MAKER, fresh], check=True)
            with suppress(OSError):  # another process was quicker
                Path(fresh).rename(made)
    return made
