"""`hearth serve-embedded`: serve Ollama's API with an OCR engine on this machine."""

import os
import sys

import typer


def serve_embedded(context: typer.Context) -> None:
    """Serve Ollama's API with an OCR engine on this machine."""
    # In a new process: the engine reads its environment before anything else is imported.
    os.execv(sys.executable, [sys.executable, "-P", "-m", "tasks.embedded", *context.args])  # noqa: S606 - no shell
