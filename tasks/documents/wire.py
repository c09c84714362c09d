"""Messages between a run and its sandboxed process: a length of four bytes and JSON, images behind it as bytes."""

from __future__ import annotations

import json
import struct
from typing import Any

HEAD = struct.Struct(">I")
LONGEST_MESSAGE = 2**17


def packed(message: dict[str, Any]) -> bytes:
    """Return a message as it is sent."""
    data = json.dumps(message).encode()
    return HEAD.pack(len(data)) + data
