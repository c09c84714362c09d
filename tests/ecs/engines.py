"""A drop-in engine whose pages a test can hold, so that what goes on meanwhile depends on no clock."""

import hashlib
import os
import time
from pathlib import Path

from tasks.embedded.engine import Reader

HELD = Path(os.environ.get("ENGINE_HELD", os.devnull))
_PAGE_PIXELS = 300
"""A page is wider than this; what the warm-up measures with is not."""


def held(_: Path) -> Reader:
    """The text of a page is the digest of its image; it is not told while the file ENGINE_HELD is there."""

    def read(image: bytes) -> str:
        width = int.from_bytes(image[16:20], "big")  # of a PNG
        while width > _PAGE_PIXELS and HELD.is_file():
            time.sleep(0.02)
        time.sleep(0.05)  # long enough for the warm-up to see what is worked on at once
        return hashlib.sha256(image).hexdigest()

    return read
