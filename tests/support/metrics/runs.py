"""Runs as they show themselves, for tests of who looks at them."""

from __future__ import annotations

import os
import platform
import time
from typing import Any

from tasks.metrics.live import LiveRun, LiveServer


def live_run(*, in_flight: int = 2, slots: int = 4, **changed: Any) -> LiveRun:
    """A run of this process that reads."""
    values: dict[str, Any] = {
        "name": "paper on here",
        "backend": "url",
        "pool": "url",
        "model": "qwen2.5vl:7b",
        "host": platform.node(),
        "pid": os.getpid(),
        "started_at": time.time() - 90,
        "at": time.time(),
        "stage": "reading",
        "asked": 50,
        "done": 20,
        "failed": 1,
        "pages_a_minute": 33.0,
        "tokens_a_second": 210.0,
        "p50": 6.5,
        "p95": 9.25,
        "usd": 0.0131,
        "servers": (
            LiveServer(url="http://127.0.0.1:11434", in_flight=in_flight, slots=slots, most=slots, limit=slots),
        ),
        **changed,
    }
    return LiveRun(**values)
