"""The environment of a test run, for processes that it starts."""

from __future__ import annotations

import os


def clean(*more: str) -> dict[str, str]:
    """Return the environment without settings of Hearth's and Prefect's, nor any that begins with one of `more`."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("HEARTH_", "PREFECT_", *more))}
