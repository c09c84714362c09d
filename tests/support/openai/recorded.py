"""What servers that cannot run in tests answer over OpenAI's API, as users of theirs have posted it.

Nothing here was run by this project. Texts and identifiers are shortened.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tests.support.ollama.scripted import Say, says, streams
from tests.support.openai.scripted import CHAT, END, MODELS, ScriptedOpenAI, event


@dataclass(frozen=True)
class Recorded:
    """A server's answers.

    Attributes:
        kind: what the client takes it for.
        model: one that it lists.
        answers: by path; what it answers to any other path is `elsewhere`.
        elsewhere: the answer to a path that it does not know.
        text: of its chat completion.
        tokens: of that text, as far as it tells.
    """

    kind: str
    model: str
    answers: dict[str, Say]
    elsewhere: Say
    text: str
    tokens: int

    def replay(self, server: ScriptedOpenAI) -> None:
        """Have a scripted server answer like this one."""
        server.only(self.answers, self.elsewhere)


def _chunk(choice: dict[str, Any], **fields: Any) -> bytes:
    return event({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "choices": [choice], **fields})


_FASTAPI_404 = Say(b'{"detail":"Not Found"}', 404)

# The list: https://github.com/modal-labs/modal-examples/issues/843. The stream, with its counts in each event:
# https://github.com/vllm-project/vllm-omni/pull/2313. /health answers 200 without a body.
VLLM = Recorded(
    kind="vLLM",
    model="meta-llama/Meta-Llama-3.1-8B-Instruct",
    answers={
        "/health": Say(b""),
        MODELS: Say(
            b'{"object":"list","data":[{"id":"meta-llama/Meta-Llama-3.1-8B-Instruct","object":"model","created":1723770563,'
            b'"owned_by":"vllm","root":"meta-llama/Meta-Llama-3.1-8B-Instruct","parent":null,"max_model_len":8096,'
            b'"permission":[{"id":"modelperm-7c4c","object":"model_permission","allow_sampling":true,"group":null}]}]}'
        ),
        CHAT: streams(
            _chunk(
                {"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None},
                usage={"prompt_tokens": 15, "total_tokens": 15, "completion_tokens": 0},
                prompt_token_ids=None,
            ),
            _chunk(
                {"index": 0, "delta": {"content": "v"}, "logprobs": None, "finish_reason": None, "token_ids": None},
                usage={"prompt_tokens": 15, "total_tokens": 16, "completion_tokens": 1},
            ),
            _chunk(
                {
                    "index": 0,
                    "delta": {"content": "LL"},
                    "logprobs": None,
                    "finish_reason": "stop",
                    "stop_reason": None,
                },
                usage={"prompt_tokens": 15, "total_tokens": 17, "completion_tokens": 2},
            ),
            END,
        ),
    },
    elsewhere=_FASTAPI_404,
    text="vLL",
    tokens=2,
)

# The stream, which never tells why it ended: https://github.com/sgl-project/sglang/issues/4550.
SGLANG = Recorded(
    kind="SGLang",
    model="DeepSeek-R1",
    answers={
        "/health": Say(b""),
        MODELS: says(
            object="list",
            data=[
                {
                    "id": "DeepSeek-R1",
                    "object": "model",
                    "owned_by": "sglang",
                    "root": "DeepSeek-R1",
                    "max_model_len": 4096,
                }
            ],
        ),
        CHAT: streams(
            *(
                _chunk(
                    {
                        "index": 0,
                        "delta": {"role": None, "content": text, "reasoning_content": None, "tool_calls": None},
                        "logprobs": None,
                        "finish_reason": None,
                        "matched_stop": None,
                    },
                    model="DeepSeek-R1",
                    usage=None,
                )
                for text in ("提供", "帮助")
            ),
            END,
        ),
    },
    elsewhere=_FASTAPI_404,
    text="提供帮助",
    tokens=2,
)

# The stream, without counts: https://github.com/lmstudio-ai/lmstudio-js/issues/320. A path that it does not know, under
# 200: https://github.com/lmstudio-ai/lmstudio-bug-tracker/issues/618 and #1724 (for /api/version).
LM_STUDIO = Recorded(
    kind="LM Studio",
    model="gemma-2-2b-it-abliterated",
    answers={
        MODELS: says(
            object="list",
            data=[{"id": "gemma-2-2b-it-abliterated", "object": "model", "owned_by": "organization_owner"}],
        ),
        CHAT: streams(
            *(
                _chunk(
                    {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason},
                    model="gemma-2-2b-it-abliterated",
                    system_fingerprint="gemma-2-2b-it-abliterated",
                )
                for delta, reason in (({"role": "assistant", "content": "Hello\n"}, None), ({}, "stop"))
            ),
            END,
        ),
    },
    elsewhere=Say(b'{"error":"Unexpected endpoint or method. (GET /elsewhere)"}'),
    text="Hello\n",
    tokens=2,
)

SERVERS = (VLLM, SGLANG, LM_STUDIO)

ERRORS: dict[str, tuple[int, dict[str, Any]]] = {
    # https://github.com/QwenLM/Qwen3/issues/1321
    "SGLang, too long": (
        400,
        {
            "object": "error",
            "message": "The input (61709 tokens) is longer than the model's context length (40960 tokens).",
            "type": "BadRequestError",
            "param": None,
            "code": 400,
        },
    ),
    # https://github.com/THUDM/LongBench/issues/104
    "vLLM, too long": (
        400,
        {
            "object": "error",
            "message": "This model's maximum context length is 131072 tokens. However, you requested 351430 tokens. "
            "Please reduce the length of the messages or completion.",
            "type": "BadRequestError",
            "param": None,
            "code": 400,
        },
    ),
    # https://github.com/gitbutlerapp/gitbutler/issues/8706
    "LM Studio, several models": (
        404,
        {
            "error": {
                "message": 'Model "default" not found. Please specify a valid model.\n\nYour models:\n\n'
                "gemma-3-27b-it-qat\nqwen3-32b",
                "type": "invalid_request_error",
                "param": "model",
                "code": "model_not_found",
            }
        },
    ),
    # https://github.com/tinyhumansai/openhuman/issues/4181 and https://github.com/lmstudio-ai/lms/issues/107
    "LM Studio, none loaded": (
        400,
        {
            "error": {
                "message": "No models loaded. Please load a model in the developer page or use the `lms load` command.",
                "type": "invalid_request_error",
                "param": "model",
            }
        },
    ),
}


def answer(name: str) -> Say:
    """Return one of the errors."""
    status, body = ERRORS[name]
    return Say(json.dumps(body).encode(), status)
