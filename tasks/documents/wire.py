"""Messages to and from the sandboxed process: a length of four bytes, JSON, and then the bytes of images."""

import json
import struct
from typing import Any

HEAD = struct.Struct(">I")
LONGEST_MESSAGE = 2**17
MOST_LAYER_BYTES = 2**20
"""Most text that is taken from a page's layer."""


def packed(message: dict[str, Any]) -> bytes:
    """Return the bytes of a message."""
    data = json.dumps(message).encode()
    return HEAD.pack(len(data)) + data
