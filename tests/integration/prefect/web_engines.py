"""A drop-in engine that holds some pages back until the test lets them go."""

import hashlib
import os
import struct
import time
from pathlib import Path

from tasks.embedded.engine import Reader

GATES = Path(os.environ.get("ENGINE_GATES", os.devnull))
STEPS = 50


def gated(_: Path) -> Reader:
    """The text of a page is the digest of its image; one in landscape waits for the file of its height by its width."""

    def read(image: bytes) -> str:
        time.sleep(0.1)  # as a page takes time, so that requests at once are seen to overlap when slots are measured
        width, height = struct.unpack(">II", image[16:24])  # of a PNG
        if width > max(height, 1000):  # the warm-up's picture is small
            gate = GATES / str(round(STEPS * height / width))
            while not gate.exists():
                time.sleep(0.05)
        return hashlib.sha256(image).hexdigest()

    return read
