"""A drop-in engine whose pages a test can hold, so that what goes on meanwhile depends on no clock."""

import hashlib
import itertools
import math
import os
import threading
import time
from pathlib import Path

from tasks.embedded.engine import Reader

HELD = Path(os.environ.get("ENGINE_HELD", os.devnull))
LOG = Path(os.environ.get("ENGINE_LOG", os.devnull))
_PAGE_PIXELS = 300
"""A page is wider than this; what the warm-up measures with is not."""

_lock = threading.Lock()
_pages = itertools.count(1)


def _told() -> float:
    """How many pages are told just now."""
    try:
        return int(HELD.read_text() or 0) if HELD.is_file() else math.inf
    except FileNotFoundError:
        return math.inf


def held(_: Path) -> Reader:
    """The text of a page is the digest of its image; it is not told while the file ENGINE_HELD is there.

    A number in the file is how many pages of each server are told all the same. What is read is noted in ENGINE_LOG,
    one digest a line.
    """

    def read(image: bytes) -> str:
        digest = hashlib.sha256(image).hexdigest()
        with _lock, LOG.open("a") as log:
            log.write(digest + "\n")
        width = int.from_bytes(image[16:20], "big")  # of a PNG
        number = next(_pages) if width > _PAGE_PIXELS else 0
        while number > _told():
            time.sleep(0.02)
        time.sleep(0.05)  # long enough for the warm-up to see what is worked on at once
        return digest

    return read
