"""The HTTP APIs that servers of models speak."""

from enum import StrEnum


class Api(StrEnum):
    """Which one a server speaks."""

    AUTO = "auto"
    """Whichever it answers."""
    OLLAMA = "ollama"
    OPENAI = "openai"
