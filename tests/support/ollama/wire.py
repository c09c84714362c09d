"""The messages of the Ollama servers for tests: their one model, and the answers of an idle server."""

from __future__ import annotations

from typing import Any

Body = dict[str, Any]

VERSION = "0.33.0"
MODEL = "qwen2.5vl:7b"
DIGEST = "5ced39dfa4bac325dc183dd1e4febaa1c46b3ea28bce48896c8e69c1e79611cc"

_DETAILS = {"family": "qwen25vl", "parameter_size": "8.3B", "quantization_level": "Q4_K_M"}
_LISTED = {"name": MODEL, "model": MODEL, "digest": DIGEST, "size": 6_000_000_000, "details": _DETAILS}

AT_REST: dict[str, Body] = {
    "/api/version": {"version": VERSION},
    "/api/tags": {"models": [_LISTED]},
    "/api/ps": {"models": [_LISTED | {"size_vram": 6_000_000_000, "context_length": 8192}]},
    "/api/show": {
        "license": "Apache-2.0",
        "modified_at": "2026-11-01T00:00:00Z",
        "model_info": {"general.architecture": "qwen25vl", "qwen25vl.context_length": 128_000},
        "capabilities": ["completion", "vision"],
        "details": _DETAILS,
    },
}
"""The answers, by path, of an idle Ollama with its model loaded."""

LOADED: Body = {"model": MODEL, "response": "", "done": True, "done_reason": "load"}


def page_answer(text: str, **numbers: Any) -> Body:
    """Return a page's answer; by default it took a second, half of it for writing."""
    return {
        "model": MODEL,
        "response": text,
        "done": True,
        "done_reason": "stop",
        "prompt_eval_count": 300,
        "eval_count": 20,
        "total_duration": 1_000_000_000,
        "load_duration": 100_000_000,
        "prompt_eval_duration": 300_000_000,
        "eval_duration": 500_000_000,
    } | numbers
