"""Drop-in engines that note which image they read: one digest a line in ENGINE_LOG.

If ENGINE_GATE names a file, a page in landscape is not read before it exists.
"""

import hashlib
import os
import struct
import threading
import time
from pathlib import Path

from tasks.embedded.engine import Reader

SECONDS = float(os.environ.get("ENGINE_SECONDS", "0"))
HELD = Path(os.environ.get("ENGINE_HELD", os.devnull))
GATE = os.environ.get("ENGINE_GATE")
LOG = Path(os.environ.get("ENGINE_LOG", os.devnull))

_lock = threading.Lock()
_seen: set[str] = set()  # by all slots together


def _note(image: bytes) -> str:
    digest = hashlib.sha256(image).hexdigest()
    with _lock, LOG.open("a") as log:
        log.write(digest + "\n")
    time.sleep(SECONDS)
    width, height = struct.unpack(">II", image[16:24])  # of a PNG; the warm-up's picture is small
    while GATE and width > max(height, 400) and not Path(GATE).exists():
        time.sleep(0.02)
    return digest


def echo(_: Path) -> Reader:
    """The text of a page is the digest of its image."""
    return _note


def held(_: Path) -> Reader:
    """As echo, but it neither loads nor ends a page while the file ENGINE_HELD is there."""

    def wait() -> None:
        while HELD.is_file():
            time.sleep(0.02)

    def read(image: bytes) -> str:
        digest = _note(image)
        wait()
        return digest

    wait()
    return read


def silent(_: Path) -> Reader:
    """Never a word."""
    return lambda image: _note(image)[:0]


def looping(_: Path) -> Reader:
    """The same words over and over."""
    return lambda image: f"Once {_note(image)}. " + "and over again " * 100


def wordy(_: Path) -> Reader:
    """A thousand different words, which do not count on."""
    digests = (hashlib.sha256(str(number).encode()).hexdigest() for number in range(1000))
    words = "".join(f" {digest[:8]}" for digest in digests)
    return lambda image: _note(image) + words


def fickle(_: Path) -> Reader:
    """Nothing at first, the digest at the second reading of an image."""

    def read(image: bytes) -> str:
        digest = _note(image)
        with _lock:
            known = digest in _seen
            _seen.add(digest)
        return digest if known else ""

    return read
