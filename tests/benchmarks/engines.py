"""A drop-in engine that takes a set time a page: what is measured is then all that is not the engine."""

import os
import time
from pathlib import Path

from tasks.embedded.engine import Reader

PAGE_SECONDS = float(os.environ.get("BENCH_PAGE_SECONDS", "0.2"))


def sleeping(_: Path) -> Reader:
    """Every page says the same after PAGE_SECONDS."""

    def read(_: bytes) -> str:
        time.sleep(PAGE_SECONDS)
        return "The text of a page."

    return read
