"""Drop-in engines that wait instead of reading, and answer with a report.

TEST_ENGINE_GATES names a directory: while there is `hold-load` in it no load ends, and while there is `hold-read` no
page does. `begun` in it has a character for each page that was begun.
"""

import itertools
import json
import os
import threading
import time
from pathlib import Path

from tasks.embedded.engine import Reader

LOAD_S = float(os.environ.get("TEST_ENGINE_LOAD_S", "0"))
READ_S = float(os.environ.get("TEST_ENGINE_READ_S", "0.1"))

GATES = Path(os.environ.get("TEST_ENGINE_GATES", os.devnull))

_starts = itertools.count(1)
_loads = itertools.count(1)
_lock = threading.Lock()
_busy = 0


def waiting(_: Path) -> Reader:
    """Load for LOAD_S; then take READ_S a page, giving its place in the order and who was busy beside it."""
    loads = next(_loads)
    time.sleep(LOAD_S)
    _held("load")

    def read(_: bytes) -> str:
        global _busy  # noqa: PLW0603  one count for all the readers of the process
        with _lock:
            order = next(_starts)
            _busy += 1
            busy = _busy
            if GATES.is_dir():
                with (GATES / "begun").open("a") as begun:
                    begun.write(".")
        time.sleep(READ_S)
        _held("read")
        with _lock:
            _busy -= 1
        return json.dumps({"order": order, "busy": busy, "loads": loads})

    return read


def _held(what: str) -> None:
    while (GATES / f"hold-{what}").exists():
        time.sleep(0.01)


def crashing(_: Path) -> Reader:
    """Load well, then fail on every page."""

    def read(_: bytes) -> str:
        raise RuntimeError("out of luck")

    return read


def unloadable(_: Path) -> Reader:
    """Fail to load."""
    raise MemoryError("not enough of it")
