"""A drop-in engine that takes a set time a page: what is measured is then all that is not the engine."""

import os
import time
from pathlib import Path

from tasks.embedded.engine import Reader
from tests.benchmarks.page_times import PageTimes, loaded, number_of

# olmOCR asks for this head; the others take it for text.
_TEXT = """---
primary_language: en
is_rotation_valid: True
rotation_correction: 0
is_table: False
is_diagram: False
---
The text of a page."""


def sleeping(_: Path) -> Reader:
    """Every page says the same after its own time, BENCH_TIMES; each is noted in BENCH_LOG: page, start, end."""
    times = loaded(os.environ.get("BENCH_TIMES", PageTimes(0.2).dumped()))
    log = os.open(os.environ.get("BENCH_LOG", os.devnull), os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def read(image: bytes) -> str:
        started = time.monotonic()
        page = number_of(image)
        time.sleep(max(0.0, times.of(page) - (time.monotonic() - started)))
        os.write(log, f"{page} {started:.6f} {time.monotonic():.6f}\n".encode())
        return _TEXT

    return read
