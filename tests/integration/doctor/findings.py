"""What the doctor found, as its tests look at it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

NETWORK = "10.20.0.0/16"
PARAMETER = "/base/ami-id"
Doctor = Callable[..., "Seen"]


class Seen:
    """What the doctor found."""

    def __init__(self, code: int, told: dict[str, Any]) -> None:
        self.code, self.told = code, told

    def __getitem__(self, of: str) -> list[tuple[str, str]]:
        """The findings of something: state, and what is said with what to do."""
        found = [each for each in self.told["checks"] if each["of"] == of]
        return [(each["state"], " ".join(filter(None, (each["why"], each["remedy"])))) for each in found]

    def one(self, of: str, words: str) -> str:
        """The state of the only finding that says so."""
        (state,) = [state for state, told in self[of] if words in told]
        return state


def missing_alone(seen: Seen, of: str) -> bool:
    """Whether nothing but this is missing."""
    return {each["of"] for each in seen.told["checks"] if each["state"] == "missing"} == {of} and seen.code == 1
